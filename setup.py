"""exampledriver's package data; tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

# pyOpenSSL and service_identity in the versions that Twisted's own extra demands.
TLS = ["cryptography>=43", "service_identity>=21.1", "twisted[tls]>=24.11"]
# Of examples/network.
EXAMPLES = ["pyroute2>=0.9.1"]
HERE = Path(__file__).parent

setup(
    name="exampledriver",
    version="0.1.0",
    description="A volume plugin for Docker Engine and Podman that never loses a volume",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    # twisted.plugins is a directory that Twisted and its plugins share: it is
    # listed without an __init__.py, and package_dir makes editable installs
    # put this folder itself on sys.path, where twistd finds the dropin.
    packages=[*find_packages(include=["exampledriver", "exampledriver.*"]), "twisted.plugins"],
    package_dir={"": "."},
    package_data={"exampledriver": ["py.typed", "plugin/templates/**/*.in"]},
    data_files=[
        (
            "share/exampledriver",
            [
                "tap/exampledriver.service",
                "tap/exampledriver.socket",
                "tap/exampledriver.tmpfiles.conf",
                "tap/exampledriver.logrotate",
                "tap/exampledriver.mounts.conf",
            ],
        )
    ],
    entry_points={"console_scripts": ["exampledriver = exampledriver.cli.main:main"]},
    install_requires=[
        "attrs>=23.2",
        "klein>=24.8",
        "msgspec>=0.19",
        'tomli>=2.0; python_version < "3.11"',
        "twisted>=24.11",
        "werkzeug>=3.0",
        "zope.interface>=6.0",
    ],
    extras_require={
        # exampledriver doctor --compose
        "doctor": ["PyYAML>=6.0"],
        "examples": EXAMPLES,
        "tls": TLS,
        "dev": [
            *EXAMPLES,
            *TLS,
            "build>=1.0",
            "hypothesis>=6.100",
            "mypy>=1.13",
            "mypy-zope>=1.0.9",
            "pydoctor>=25.4",
            "PyYAML>=6.0",
            "ruff>=0.8",
            "setuptools>=68",
            # For mypy, which checks as Python 3.10.
            "tomli>=2.0",
            "towncrier>=23.11",
            "types-PyYAML",
            "types-setuptools",
        ],
    },
    classifiers=[
        "Framework :: Twisted",
        "License :: OSI Approved :: MIT License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: System :: Filesystems",
        "Typing :: Typed",
    ],
)
