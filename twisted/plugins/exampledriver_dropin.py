from twisted.application.service import ServiceMaker

exampledriver = ServiceMaker(
    "exampledriver",
    "exampledriver.tap",
    "A volume plugin for Docker Engine and Podman that never loses a volume.",
    "exampledriver",
)
