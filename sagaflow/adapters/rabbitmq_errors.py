"""What goes wrong with RabbitMQ: aio-pika's many errors made one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aio_pika.exceptions import InvalidFrameError, ProbableAuthenticationError
from aiormq.exceptions import AuthenticationError, PublishError

from ..errors import BrokerUnavailable, ConfigurationError, SagaFlowError, Unroutable


@asynccontextmanager
async def answering(what: str, seconds: float) -> AsyncGenerator[None]:
    """Within, only calls of aio-pika, for so many seconds at most; ``what`` completes "RabbitMQ could not ...".

    Raises:
        BrokerUnavailable: it did not, or not in time.
        Unroutable: it has no queue for a message.
        ConfigurationError: it does not let us in.
    """
    task = asyncio.current_task()
    asked = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(seconds):
            yield
    except SagaFlowError:
        raise
    except PublishError as error:
        raise Unroutable(f"RabbitMQ could not {what}: no queue is bound for it") from error
    except (ProbableAuthenticationError, AuthenticationError) as error:
        raise ConfigurationError(
            f"RabbitMQ could not {what}: it refuses the credentials. Correct the user and password in the URL"
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise ConfigurationError(
            f"RabbitMQ could not {what}: its certificate is not trusted ({error.verify_message}). Name the file of its "
            f"authority in the URL (cafile=...) or in ssl_context, and the host as the certificate does"
        ) from error
    except asyncio.CancelledError as error:
        # aio-pika cancels what waits for a connection that breaks. That is no wish of ours to end.
        if task is None or task.cancelling() > asked:
            raise
        raise BrokerUnavailable(f"RabbitMQ could not {what}: the connection was lost") from error
    except TimeoutError as error:
        raise BrokerUnavailable(f"RabbitMQ could not {what} in {seconds:g} s") from error
    # All there is: besides its own errors aio-pika raises OSError, RuntimeError and StopAsyncIteration, and rejects
    # what waits for a connection that was closed with a bare Exception.
    except Exception as error:
        if _is_refused_host(error):
            raise ConfigurationError(
                f"RabbitMQ could not {what}: the virtual host is not there, not open to this user, or full. Create it, "
                f"grant permissions, or correct the path of the URL (without a path it is the default host)"
            ) from error
        raise BrokerUnavailable(f"RabbitMQ could not {what}: {cause(error)}") from error


def _is_refused_host(error: Exception) -> bool:
    # The driver drops the answer that says so and complains that it is not the one it was waiting for.
    return (
        isinstance(error, InvalidFrameError) and "Connection.OpenOk" in str(error) and "Connection.Close" in str(error)
    )


def cause(error: BaseException) -> str:
    """An error of the driver in a few words."""
    return str(error) or type(error).__name__
