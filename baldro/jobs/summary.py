"""`baldro summary`: an experiment's main table, and where its tables, figures and report are."""

from argparse import Namespace

from baldro.errors import BaldroError
from baldro.jobs.report import config_of
from baldro.records import report as record
from baldro.report import main_table_text
from baldro.report.paper import paper_text


def run(options: Namespace) -> None:
    """What the verb's options say."""
    experiment = config_of(options.config)[0]
    folder = record.place(options.results, experiment.name)
    if not (folder / record.PAGE).is_file():
        raise BaldroError(
            "no-report",
            f"{folder} has no report yet; run the experiment, or `baldro report --allow-missing` for what there is",
        )
    where = [f"tables   {folder / 'tables'}", f"figures  {folder / 'figures'}", f"report   {folder / record.PAGE}"]
    text = paper_text(folder, experiment.exhibits) if experiment.exhibits else main_table_text(folder)
    print("\n".join([text, "", *where]))
