"""The media plane: worker processes that carry, bridge, play and record audio."""
