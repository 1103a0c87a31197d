"""The report: one HTML file that needs nothing else, drawn from a document. Pure, but for reading assets/.

What it promises:

- The file asks nobody for anything, and its policy holds a browser to that.
- Every name and text that came from outside (models, errors of servers, a baseline's file) is text and no
  markup, wherever it stands.
- What a chart shows is also said in a sentence and can be read as a table.
- Sections without data are left out.
- Steps that are void are drawn apart and never decide what is said at the top.
"""

from .assembling import page
from .fleet_day import fleet_page
from .plain import plain

__all__ = ["fleet_page", "page", "plain"]
