# An application file for `twistd -y exampledriver.tac` (as root: -n to stay in the
# foreground). Edit the options below as on the command line of `twistd exampledriver`.
from twisted.application.service import Application

from exampledriver.tap import Options, makeService

options = Options()
options.parseOptions([])

application = Application("exampledriver")
makeService(options).setServiceParent(application)
