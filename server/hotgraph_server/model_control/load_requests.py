"""From what repositories offer, and what requests ask for, to settings of models. Reads configurations and
folders' names; changes nothing."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hotgraph_server.errors import InvalidCall, LoadError, LoadFailed, SettingsError, StartError
from hotgraph_server.model_config import config_file
from hotgraph_server.model_control import safe_paths
from hotgraph_server.model_control.discovery import Discovery, Offer, offers_of
from hotgraph_server.settings import ControlSettings, FolderSettings, ModelFactory, ModelSettings
from hotgraph_server.settings.control import AUTO, EVERY_MODEL, EXPLICIT, POLL

_LOG = logging.getLogger(__name__)

# A configuration is some kilobytes; one with thousands of tensors still is no more than this.
_LONGEST_CONFIG = 2**20


class Translation:
    """For one server.

    Args:
        settings: see there.
        fixed: names of models that no repository may offer as well.
        make: settings of models, from what they bring.
    """

    def __init__(self, settings: ControlSettings, fixed: Collection[str], make: ModelFactory) -> None:
        self._settings = settings
        self._repositories = [Path(repository) for repository in settings.repository]
        self._fixed = fixed
        self._make = make
        self._explicit = settings.model_control == EXPLICIT
        self._retried = settings.model_control == POLL
        self._polled = settings.model_control in (POLL, AUTO)

    def look(self) -> Discovery:
        """What the repositories offer now.

        Raises:
            LoadError: one cannot be read.
        """
        name = self._settings.model_config_name
        offers = offers_of(self._repositories, name, links_out=self._settings.follow_links)
        also = dict.fromkeys(offers.models.keys() & set(self._fixed), "the command line has this model too")
        models = {name: offer for name, offer in offers.models.items() if name not in also}
        return Discovery(models, {**offers.refused, **also})

    def chosen(self, offers: Discovery) -> dict[str, Offer]:
        """Those to be served from the start.

        Raises:
            LoadError: one that was asked for is not there.
        """
        wanted = self._settings.load_model
        if not self._explicit or EVERY_MODEL in wanted:
            return dict(offers.models)
        for name in wanted:
            if name not in offers.models:
                where = ", ".join(self._settings.repository)
                raise LoadError(f"load-model {name}", offers.refused.get(name, f"not in {where}"))
        return {name: offers.models[name] for name in wanted}

    def settings_of(self, offer: Offer) -> ModelSettings:
        """The settings of a model as it is offered.

        Raises:
            StartError: its configuration cannot be.
        """
        config = None if offer.config is None else config_file.read(offer.config)
        return self._made(offer, config, links_out=self._settings.follow_links)

    def again(
        self, offers: Discovery, served: Mapping[str, ModelSettings]
    ) -> tuple[dict[str, ModelSettings], dict[str, str]]:
        """The settings of all that is offered, and why some have none. These go on as they are `served`, if
        they are; and so do those whose names are refused from now on."""
        found = {name: model for name, model in served.items() if name in offers.refused}
        faults: dict[str, str] = {}
        for name, offer in offers.models.items():
            try:
                found[name] = self.settings_of(offer)
            except StartError as error:
                _LOG.warning("model '%s' is not taken up: %s", name, error)
                faults[name] = str(error)
                if name in served:
                    found[name] = served[name]
        return found, faults

    def asked_for(
        self, name: str, config: str | None, folder: Path | None, offers: Discovery
    ) -> ModelSettings:
        """The settings that a request to load amounts to.

        Args:
            name: of the model, which has been checked.
            config: its configuration as JSON, in place of what is offered; None: what is offered.
            folder: where its versions are, in place of what is offered; then there is a `config` too.
            offers: of the repositories.

        Raises:
            CallError: it cannot be.
        """
        offer = offers.models.get(name) if folder is None else Offer(name, folder, folder)
        if offer is None:
            raise LoadFailed(name, offers.refused.get(name, "failed to poll from model repository"))
        try:
            message = None if config is None else _override(config)
        except SettingsError as error:
            raise InvalidCall(f"failed to load '{name}', Invalid config override: {error}") from error
        try:
            return self.settings_of(offer) if message is None else self._asked(offer, message)
        except StartError as error:
            raise InvalidCall(f"failed to load '{name}', {error}") from error

    def _asked(self, offer: Offer, config: Any) -> ModelSettings:
        """By a configuration that came with a request. Where its owner has linked a model from elsewhere he
        means it; a name that a caller gives leads nowhere but into the repository. Raises StartError."""
        links_out = self._settings.follow_links and not config.default_model_filename
        made = self._made(offer, config, links_out=links_out)
        return dataclasses.replace(made, folder=dataclasses.replace(made.folder, linked_files=False))

    def _made(self, offer: Offer, config: Any, *, links_out: bool) -> ModelSettings:
        """Raises StartError."""
        rules = FolderSettings(
            plain_numbers=True,
            inside=None if links_out else offer.repository,
            linked_files=links_out,
            polled=self._polled,
            retried=self._retried,
            reloaded=self._explicit or self._polled,
        )
        if config is not None and config.default_model_filename:
            fault = safe_paths.part_fault(config.default_model_filename)
            if fault is not None:
                raise SettingsError(
                    f"default_model_filename {fault}: {config.default_model_filename[:100]!r}"
                )
            rules = dataclasses.replace(rules, saved_model=config.default_model_filename)
        return dataclasses.replace(self._make(offer.name, offer.folder, config), folder=rules)


def _override(config: str) -> Any:
    """Raises SettingsError."""
    if len(config) > _LONGEST_CONFIG:
        raise SettingsError(f"{len(config)} characters; the limit is {_LONGEST_CONFIG}")
    if not config.lstrip().startswith("{"):
        # An empty list would pass for an empty message.
        raise SettingsError("no JSON object")
    return config_file.from_json(config)
