"""Who is told how much the server has to do."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, check_choice, setting

ASKED, ALWAYS, NEVER = "asked", "always", "never"
LOAD_REPORTS = (ASKED, ALWAYS, NEVER)


@dataclass(frozen=True)
class LoadReportSettings:
    """ORCA's load reports; owned by protocols/orca."""

    load_reports: str = setting(
        ASKED,
        "which answers carry an ORCA load report: asked: those whose callers ask for it; always: all, for"
        " balancers that ask for nothing; never: none, and there is no stream of reports",
        choices=LOAD_REPORTS,
    )
    load_report_min_s: float = setting(
        1.0,
        "shortest time between two reports of a stream, whatever its caller asks for, seconds",
        flag=False,
    )

    def __post_init__(self) -> None:
        check_choice("load-reports", self.load_reports, LOAD_REPORTS)
        check(
            0.1 <= self.load_report_min_s <= 3600,
            f"load-report-min-s must be 0.1 to 3600 (an hour), got {self.load_report_min_s}",
        )
