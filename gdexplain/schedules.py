"""The short address of `gdexplain.by_hand.schedules`: scripts from before the move to rooms go on."""

from gdexplain.by_hand.schedules import *  # the whole of it
