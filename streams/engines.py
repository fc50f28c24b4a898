"""The engine that the settings name."""

from streams.runtime.engines.hosting import Engine
from streams.runtime.intake import ahead_bytes
from streams.settings import Settings


def engine_of(settings: Settings, *, groups: int) -> Engine:
    """An engine on the settings' broker for so many groups. Raises ValueError where it cannot work with them."""
    events, size_bytes = settings.window_events, settings.window_bytes
    ahead = settings.read_ahead_bytes or ahead_bytes(groups)
    if settings.engine == "confluent":
        from streams.runtime.engines.confluent import ConfluentEngine

        member = {"group.instance.id": settings.instance_id} if settings.instance_id else {}
        return ConfluentEngine(
            settings.kafka_config | member, max_events=events, max_bytes=size_bytes, ahead_bytes=ahead
        )
    from streams.runtime.engines.faust import FaustEngine
    from streams.runtime.engines.librdkafka import faust_options

    if settings.instance_id:
        raise ValueError("faust knows no static membership: the setting 'instance_id' needs the engine 'confluent'")
    return FaustEngine(faust_options(settings.kafka_config), max_events=events, max_bytes=size_bytes, ahead_bytes=ahead)
