"""What can go wrong: the one base of all of Squall's errors, and the branch of the bus.

    SquallError                                  carries kind, remedy and the exit code it means for a command
    ├── ServiceError                             see `squall.services.errors`
    ├── ChaosError                               see `squall.chaos.errors`
    └── BusError                                 kind broker, exit 4
        ├── InvalidNameError (ValueError)            a name or token that must not reach a subject or template
        ├── DecodeError                              these bytes are not a message we know
        ├── MessageTooLargeError                     this message would pass the size bound
        ├── BrokerError                              the embedded nats-server did not start, or stopped
        ├── AuthorizationError                       the broker does not accept these credentials
        ├── WireError                                a wire fails; its link says what was definite
        ├── ExpelledError                            the node was put out of the swarm for good
        ├── RosterError                              who votes cannot be changed so
        └── RequestError                             carries subject and definite
            ├── ForbiddenError                       definite: the broker refused it, by permission
            ├── NotConnectedError                    definite: it was never sent
            │   └── UntrustedBrokerError             definite: the broker did not prove who it is by TLS
            ├── NoRespondersError                    definite: nobody was listening
            ├── RejectedError                        definite: JetStream said no, with an error code
            │   └── DeposedError                     definite: a newer term exists
            └── RequestTimeoutError (TimeoutError)   indefinite: it may have happened, or may yet
                └── ConnectionLostError              indefinite: the connection died under it

*Definite* means: it did not happen and never will. Only an indefinite outcome
is retried with the same id.
"""

from __future__ import annotations


class SquallError(Exception):
    """Base of every error that Squall raises on purpose.

    Attributes:
        kind: A short name for programs.
        remedy: What to do about it.
        exit_code: Of a command that ends with it.
    """

    kind = "squall"
    exit_code = 4
    remedy = ""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy or self.remedy

    @property
    def sentence(self) -> str:
        """What a command says of it."""
        return str(self)


def first_error(error: BaseException, prefer: type[BaseException] = BaseException) -> BaseException:
    """The first error in a group, however deep; itself, if it is none.

    Args:
        prefer: One of this type comes before others.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [first_error(inner, prefer) for inner in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, prefer)), leaves[0])


class BusError(SquallError):
    """Base of everything the bus raises."""

    kind = "broker"


class InvalidNameError(BusError, ValueError):
    """A name or token that must not reach a subject or a permission template."""


class DecodeError(BusError):
    """These bytes are not a message we know."""


class MessageTooLargeError(BusError):
    """This message would pass the size bound of the bus."""


class WireError(BusError):
    """A wire to the broker fails. It ends at the link, which knows what was asked over it."""


class BrokerError(BusError):
    """The embedded nats-server did not start, or stopped."""


class AuthorizationError(BusError):
    """The broker does not accept these credentials."""

    kind = "credentials"
    exit_code = 2
    remedy = "name a file with valid credentials in NATS_CREDS"


class ExpelledError(BusError):
    """The node was put out of the swarm for good."""


class RosterError(BusError):
    """Who votes cannot be changed so."""


class RequestError(BusError):
    """A request or publish that did not succeed.

    Attributes:
        subject: What it was addressed to.
        definite: True when it did not happen and never will.
    """

    definite = True

    def __init__(self, subject: str, message: str) -> None:
        super().__init__(message)
        self.subject = subject


class ForbiddenError(RequestError):
    """The broker refused the subject: these credentials do not reach it."""


class NotConnectedError(RequestError):
    """There was no connection, so nothing was sent."""


class UntrustedBrokerError(NotConnectedError):
    """The broker offers no TLS or did not prove who it is, so nothing was sent to it."""

    kind = "tls"

    def __init__(self, subject: str, message: str, remedy: str = "") -> None:
        super().__init__(subject, message)
        self.remedy = remedy


class NoRespondersError(RequestError):
    """Nobody was listening, or no import leads there."""


class RejectedError(RequestError):
    """JetStream answered with an error.

    Attributes:
        code: Its ``err_code``, for instance 10071 (wrong last sequence).
    """

    def __init__(self, subject: str, message: str, code: int) -> None:
        super().__init__(subject, f"{message} ({code})")
        self.code = code


class DeposedError(RejectedError):
    """A fenced write was refused because a newer term exists."""


class RequestTimeoutError(RequestError, TimeoutError):
    """No answer before the deadline: it may have happened, or may yet."""

    definite = False


class ConnectionLostError(RequestTimeoutError):
    """The connection died while the answer was outstanding."""
