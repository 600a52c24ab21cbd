"""The root of everything that can go wrong with private servers and playgrounds. Texts are for the terminal."""


class PlaygroundError(Exception):
    """What was asked for cannot be started; nothing was left running."""
