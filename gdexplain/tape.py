"""The short address of `gdexplain.by_hand.tape`: scripts from before the move to rooms go on."""

from gdexplain.by_hand.tape import *  # the whole of it
