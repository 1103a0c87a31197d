from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from hotgraph_client.loadtest.report import assets

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "client" / "hotgraph_client" / "loadtest" / "report" / "assets"

# Of npm's echarts; scripts/vendor-echarts prints it.
SHA256 = "61f13280aba3161f77fc801bf5f9c786f55f10432153a0683fc5cc0700b013d5"


def test_echarts_is_as_its_makers_publish_it() -> None:
    assert hashlib.sha256(assets.library().encode()).hexdigest() == SHA256
    assert f't.version="{assets.ECHARTS}"' in assets.library()


def test_the_library_ends_no_script_early_and_names_no_map() -> None:
    for wrong in ("</script", "<script", "<!--", "sourceMappingURL"):
        assert wrong not in assets.library().lower()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LICENSE-echarts.txt", "Apache License"),
        ("NOTICE-echarts.txt", "The Apache Software Foundation"),
        ("LICENSE-d3.txt", "Mike Bostock"),
        ("LICENSE-zrender.txt", "Baidu"),
        ("LICENSE-tslib.txt", "Microsoft"),
    ],
)
def test_the_licences_are_those_of_what_is_handed_on(name: str, said: str) -> None:
    assert said in assets.text(name)
    assert any(name in files for _, files in assets.LICENCES)


def test_the_wheel_holds_every_file_and_the_licences() -> None:
    builder = WheelBuilder(str(ROOT))
    files = {one.distribution_path for one in builder.recurse_included_files()}
    wanted = {f"hotgraph_client/loadtest/report/assets/{one.name}" for one in FOLDER.iterdir()}
    assert len(wanted) > 5
    assert wanted <= files
    licences = [name for name in builder.metadata.core.license_files if "loadtest/report" in name]
    assert len(licences) == 5


def test_a_policy_names_what_stands_in_the_page_by_its_hash() -> None:
    # What the text of Content Security Policy Level 2 has as its example.
    assert assets.hash_source("doSomething();") == "'sha256-RFWPLDbv2BY+rCkDzsE+0fr8ylGr2R2faWMhq4lfEQc='"
