"""An exception that came through ten functions, each of a line of its own."""


def route() -> None:
    check_session()


def check_session() -> None:
    load_user()


def load_user() -> None:
    find_user()


def find_user() -> None:
    cached()


def cached() -> None:
    query()


def query() -> None:
    execute()


def execute() -> None:
    send()


def send() -> None:
    receive()


def receive() -> None:
    parse()


def parse() -> None:
    raise ValueError("no such user")


def _raised() -> ValueError:
    try:
        route()
    except ValueError as error:
        # Without the frame of this function.
        return error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
    raise AssertionError("it raises")


RAISED = _raised()
