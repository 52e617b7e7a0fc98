"""The embedded world: scenes, their captions, exact edits and pictures, all a function of a seed."""
