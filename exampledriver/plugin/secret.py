"""The ``secretprovider`` protocol: secrets of swarm services, from elsewhere.

A swarm manager asks whenever a task needs a secret that was created with
``docker secret create --driver NAME``. The value is never logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, cast

from attrs import field, frozen
from zope.interface import Interface

from .convert import call, write
from .errors import wrong_part
from .protocol import Protocol, bind
from .wire import Answer, Fields, Wire

#: The name of this protocol in the answer to ``Plugin.Activate``.
IMPLEMENTS = "secretprovider"

#: The largest value that a swarm takes, in bytes: less than 500 KiB, in swarmkit's
#: ``ValidateSecretPayload``. An empty one it does not take either.
LARGEST = 500 * 1024 - 1


@frozen
class Port:
    """A port of a service.

    :ivar name: its name, or empty.
    :ivar protocol: 0 TCP, 1 UDP, 2 SCTP.
    :ivar target: inside the container.
    :ivar published: on the swarm's nodes; 0 for none.
    :ivar publish_mode: 0 ingress, 1 host.
    """

    name: Annotated[str, "Name"] = ""
    protocol: Annotated[int, "Protocol"] = 0
    target: Annotated[int, "TargetPort"] = 0
    published: Annotated[int, "PublishedPort"] = 0
    publish_mode: Annotated[int, "PublishMode"] = 0


@frozen
class EndpointSpec:
    """How a service is reached.

    :ivar mode: 0 by a virtual address, 1 by DNS round robin.
    :ivar ports: its ports.
    """

    mode: Annotated[int, "Mode"] = 0
    ports: Annotated[Sequence[Port], "Ports"] = ()


@frozen
class GetSecret:
    """A secret is asked for, and for which task.

    :ivar name: the secret's name.
    :ivar labels: the secret's labels.
    :ivar service_hostname: the hostname of the service's containers.
    :ivar service_id: the service that the task is a part of.
    :ivar service_name: its name.
    :ivar service_labels: its labels.
    :ivar task_id: the task.
    :ivar task_name: its name.
    :ivar task_image: its image.
    :ivar node_id: the node that the task will run on.
    :ivar endpoint: how the service is reached; ``None`` if it is not told.
    """

    name: Annotated[str, "SecretName"]
    labels: Annotated[Mapping[str, str], "SecretLabels"] = field(factory=dict)
    service_hostname: Annotated[str, "ServiceHostname"] = ""
    service_id: Annotated[str, "ServiceID"] = ""
    service_name: Annotated[str, "ServiceName"] = ""
    service_labels: Annotated[Mapping[str, str], "ServiceLabels"] = field(factory=dict)
    task_id: Annotated[str, "TaskID"] = ""
    task_name: Annotated[str, "TaskName"] = ""
    task_image: Annotated[str, "TaskImage"] = ""
    node_id: Annotated[str, "NodeID"] = ""
    endpoint: Annotated[EndpointSpec | None, "ServiceEndpointSpec"] = None


@frozen
class Secret:
    """A secret's value.

    :ivar value: the bytes, 1 to :data:`LARGEST` for a swarm.
    :ivar do_not_reuse: it is for this task only: the next one asks again.
    """

    value: Annotated[bytes, "Value"] = field(repr=False)
    do_not_reuse: Annotated[bool, "DoNotReuse"] = False


class ISecretProvider(Interface):
    """What the author of a secret provider writes.

    The method returns its value, a Deferred of it, or a coroutine, and refuses by raising
    :class:`exampledriver.plugin.errors.PluginError`: the task does not start.
    """

    def get_secret(request: GetSecret) -> Answer[Secret]:
        """Return a secret."""


def add_routes(wire: Wire, driver: ISecretProvider) -> None:
    """Serve ``driver`` under ``/SecretProvider.*``."""

    def told(secret: Secret) -> Fields:
        # The swarm would say only that it is not found.
        if not 0 < len(secret.value) <= LARGEST:
            part = f"value has {len(secret.value)} bytes; 1 to {LARGEST} are expected"
            raise wrong_part(driver.get_secret, secret, part)
        return cast(Fields, write(secret))

    wire.route(call("SecretProvider.GetSecret", driver.get_secret, GetSecret, Secret, told=told))


bind(ISecretProvider, Protocol(IMPLEMENTS, add_routes))
