"""Messaging spans: a batch sent to a topic, received and processed elsewhere.

Producer and consumer share no trace: a batch has many senders and a span has one parent. What
ties them is a link from each receiving span to the span that created the message.
"""

from typing import NamedTuple

import nanospan
from nanospan import Link, SpanContext, SpanKind

tracer = nanospan.tracing.new("examples.messaging", version="1.0")


class Message(NamedTuple):
    """What lies in the topic, with the context of the span that created it."""

    key: str
    body: bytes
    created_by: SpanContext


class Topic:
    """A topic with one partition, in memory."""

    def __init__(self, name: str) -> None:
        self.attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": name,
            "messaging.destination.partition.id": "0",
        }
        self.name = name
        self.messages: list[Message] = []

    def send(self, batch: list[tuple[str, bytes]]) -> None:
        """A create span for each message, a send span for the batch."""
        created = []
        for key, body in batch:
            with tracer.start_as_current_span(
                f"create {self.name}",
                kind=SpanKind.PRODUCER,
                attributes={
                    **self.attributes,
                    "messaging.operation.name": "create",
                    "messaging.operation.type": "create",
                    "messaging.kafka.message.key": key,
                    "messaging.message.body.size": len(body),
                },
            ) as span:
                created.append(Message(key, body, span.context))
        with tracer.start_as_current_span(
            f"send {self.name}",
            kind=SpanKind.CLIENT,
            links=[message.created_by for message in created],
            attributes={
                **self.attributes,
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.client.id": "shop-1",
                "messaging.batch.message_count": len(created),
            },
        ):
            self.messages.extend(created)

    def poll(self, group: str) -> list[Message]:
        """A receive span for the batch, linked to where each message was created."""
        with tracer.start_as_current_span(
            f"poll {self.name}",
            kind=SpanKind.CLIENT,
            attributes={
                **self.attributes,
                "messaging.operation.name": "poll",
                "messaging.operation.type": "receive",
                "messaging.consumer.group.name": group,
            },
        ) as span:
            received, self.messages = self.messages, []
            span.set_attribute("messaging.batch.message_count", len(received))
            for message in received:
                span.add_link(message.created_by)
            return received

    def process(self, group: str, offset: int, message: Message) -> None:
        """A process span for one message."""
        with tracer.start_as_current_span(
            f"process {self.name}",
            kind=SpanKind.CONSUMER,
            links=[Link(message.created_by)],
            attributes={
                **self.attributes,
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.consumer.group.name": group,
                "messaging.kafka.message.key": message.key,
                "messaging.kafka.offset": offset,
            },
        ):
            message.body.decode()


def example() -> None:
    """A checkout sends two messages; the mailer takes both and processes them."""
    topic = Topic("orders")
    with tracer.start_as_current_span("checkout"):
        topic.send([("order-1", b'{"total": 2900}'), ("order-2", b'{"total": 700}')])
    with tracer.start_as_current_span("mailer"):
        for offset, message in enumerate(topic.poll("mailers")):
            topic.process("mailers", offset, message)


if __name__ == "__main__":
    nanospan.configure(service_name="shop", exporter=nanospan.ConsoleExporter())
    example()
    nanospan.shutdown()
