"""Which models of which repositories are served, and who says so."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, check_choice, setting

NONE, POLL, EXPLICIT, AUTO = MODEL_CONTROL = ("none", "poll", "explicit", "auto")
EVERY_MODEL = "*"


@dataclass(frozen=True)
class ControlSettings:
    """Repositories and model control; owned by model_control/control.py."""

    repository: tuple[str, ...] = setting(
        (),
        "a folder of models as Triton or TensorFlow Serving lay them out; may be given again for another one",
        kind=list,
        metavar="DIR",
    )
    model_control: str = setting(
        NONE,
        "none: all models of the repositories are loaded at start; poll: and followed, every --poll-s"
        " seconds (15 if not said); explicit: none but --load-model, and then by RPC alone; auto: each when"
        " it is called, within --memory-mb (docs/many-models.md)",
        choices=MODEL_CONTROL,
    )
    load_model: tuple[str, ...] = setting(
        (),
        "a model to load at start under --model-control explicit; * is all; may be given again",
        kind=list,
        metavar="NAME|*",
    )
    model_config_name: str = setting(
        "", "read a model's configs/NAME.pbtxt in place of its config.pbtxt, where it has one"
    )
    follow_links: bool = setting(
        True,
        "models, versions and files of a repository may be links out of it; off: such are left out. What a"
        " request to load brings or names never leads out",
    )
    strict_readiness: bool = setting(
        True,
        "ServerReady says no while a model of the repositories is neither ready nor unloaded",
        flag=False,
    )
    max_load_files: int = setting(1000, "most files that one request to load may bring", flag=False)
    max_load_mb: int = setting(
        1024, "MiB of files that one request to load may bring; max_message_mb limits it too", flag=False
    )

    def __post_init__(self) -> None:
        check_choice("model-control", self.model_control, MODEL_CONTROL)
        check(
            not self.load_model or self.model_control == EXPLICIT,
            "load-model goes with model-control explicit only; without it every model is loaded",
        )
        check(
            self.model_control in (NONE, AUTO) or bool(self.repository),
            f"model-control {self.model_control} needs a repository",
        )
        check(
            "/" not in self.model_config_name and self.model_config_name not in (".", ".."),
            f"model-config-name is the name of a file without .pbtxt, got {self.model_config_name!r}",
        )
        check(self.max_load_files >= 1, f"max-load-files must be at least 1, got {self.max_load_files}")
        check(1 <= self.max_load_mb <= 2047, f"max-load-mb must be 1 to 2047, got {self.max_load_mb}")
