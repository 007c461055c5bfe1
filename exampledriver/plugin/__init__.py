"""A helper to write Docker plugins with: HTTP and JSON outside, typed calls inside.

Implement an interface such as :class:`IVolumeDriver`, hand it to
:class:`Plugin`, and listen with :meth:`Plugin.site`.
"""

from .app import Plugin
from .errors import BadRequest, PluginError
from .site import PluginSite
from .volume import Capabilities, IVolumeDriver, Volume
from .wire import Answer

__all__ = [
    "Answer",
    "BadRequest",
    "Capabilities",
    "IVolumeDriver",
    "Plugin",
    "PluginError",
    "PluginSite",
    "Volume",
]
