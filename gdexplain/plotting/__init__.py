"""Pictures of the record. Each ``draw_*`` takes an axes and returns the artists; nothing else imports matplotlib."""

from gdexplain.plotting.film import animate_descent as animate_descent
from gdexplain.plotting.film import draw_data as draw_data
from gdexplain.plotting.film import draw_descent as draw_descent
from gdexplain.plotting.film import draw_fits as draw_fits
from gdexplain.plotting.labels import label_lines as label_lines
from gdexplain.plotting.record import draw_loss as draw_loss
from gdexplain.plotting.style import COLORS as COLORS
from gdexplain.plotting.style import DARK as DARK
from gdexplain.plotting.style import INK as INK
from gdexplain.plotting.style import Look as Look
from gdexplain.plotting.style import look_of as look_of
from gdexplain.plotting.style import use_style as use_style
from gdexplain.plotting.surface import draw_loss_surface as draw_loss_surface
from gdexplain.plotting.surface import draw_minimum as draw_minimum
from gdexplain.plotting.surface import draw_path as draw_path
from gdexplain.plotting.sweep import draw_map as draw_map
from gdexplain.plotting.sweep import draw_scale as draw_scale
