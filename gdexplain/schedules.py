"""The short address of `gdexplain.by_hand.schedules`, which the reference names."""

from gdexplain.by_hand.schedules import *  # the whole of it
