"""Settings of the IPython kernels that run the notebook pages: figures as SVG, transparent, in the project's style."""

c = get_config()  # noqa: F821  # IPython provides it

c.InlineBackend.figure_formats = {"svg"}
_UNDATED = {"Date": None, "Creator": None}  # the same bytes in every build
c.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "facecolor": "none", "metadata": _UNDATED}
c.InlineBackend.rc = {}
c.Application.log_level = "ERROR"  # a note about TCP on loopback is no news
c.HistoryManager.enabled = False
c.IPKernelApp.exec_lines = [
    # One flush a cell: a print that is cut in two by the clock gets a blank line where the parts are joined.
    "import sys; sys.stdout.flush_interval = sys.stderr.flush_interval = 3600; del sys",
    "import gdexplain; gdexplain.use_style(); del gdexplain",
    "import matplotlib; matplotlib.rcParams['savefig.transparent'] = True; del matplotlib",
]
