"""Settings of the IPython kernels that run the notebook pages: sharp, transparent figures in the project's style."""

c = get_config()  # noqa: F821  # IPython provides it

c.InlineBackend.figure_formats = {"png2x"}
c.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "facecolor": "none", "edgecolor": "none"}
c.InlineBackend.rc = {}
c.Application.log_level = "ERROR"  # a note about TCP on loopback is no news
c.HistoryManager.enabled = False
c.IPKernelApp.exec_lines = [
    # One flush a cell: a print that is cut in two by the clock gets a blank line where the parts are joined.
    "import sys; sys.stdout.flush_interval = sys.stderr.flush_interval = 3600; del sys",
    "import gdexplain; gdexplain.use_style(); del gdexplain",
    "import matplotlib; matplotlib.rcParams['savefig.transparent'] = True; del matplotlib",
]
