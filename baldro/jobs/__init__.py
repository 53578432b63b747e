"""What each verb does: read files, call the rooms above, write files whole."""
