"""The rest of the internet's mail: the server that takes an account's mail, and the people it is for."""

from .server import EmailSimulator
from .world import Options

__all__ = ["EmailSimulator", "Options"]
