"""Results -> frames -> frames: the long table, which points are shown, comparisons, attribution. Numbers without words."""
