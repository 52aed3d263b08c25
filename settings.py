"""Settings: read once from the environment (prefix KABINET_), checked at start, passed in to whoever needs them."""

import enum
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Names = Annotated[tuple[str, ...], NoDecode]


class Mode(enum.StrEnum):
    DEMO = "demo"
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class WrongSetting(Exception):
    """A setting that the service cannot start with; the text is the sentence for the operator."""


class Settings(BaseSettings):
    """Every setting of the service with its default. `docs/settings.md` lists them."""

    model_config = SettingsConfigDict(env_prefix="KABINET_", frozen=True, extra="ignore")

    mode: Mode = Field(Mode.PRODUCTION, description="demo, development or production")
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on")
    public_url: str = Field("", description="Where buyers reach the service; default: http://host:port")
    database_url: str = Field("sqlite:///kabinet.db", description="sqlite:///path or postgres://user:password@host:port/name")
    database_pool_size: int = Field(10, ge=2, le=200, description="PostgreSQL connections a process")
    redis_url: str = Field("", description="redis://… carries news between processes; empty: one process")
    redis_prefix: str = Field("kabinet", description="First part of every Redis channel's name")
    worker: bool = Field(True, description="Run the worker (timers, fan-out, outbox) inside the server")
    allowed_origins: Names = Field((), description="Origins besides our own that may call with a cookie; comma separated, exact")
    allowed_hosts: Names = Field((), description="Host names that are answered; comma separated; empty: any outside production, that of public_url in it")
    forwarded_allow_ips: Names = Field((), description="Addresses or networks of proxies whose X-Forwarded-For counts; comma separated")
    password_pepper: SecretStr = Field(SecretStr(""), description="Key of the HMAC taken of a password before Argon2id; at least 32 bytes in production when set")
    password_memory_kib: int = Field(19456, ge=19456, description="Argon2id memory")
    password_passes: int = Field(2, ge=2, description="Argon2id passes")
    breadth_first: bool = Field(True, description="Take compiled plans; off: graphql-core's executor alone")
    document_cache_size: int = Field(512, ge=1, description="Parsed and validated documents kept")
    max_body_bytes: int = Field(64 * 1024, ge=1024, description="Largest request body and socket frame")
    max_staff_body_bytes: int = Field(2 * 1024 * 1024, ge=1024, description="Largest request body with a staff token")
    max_tokens: int = Field(2000, ge=100, description="Tokens a document")
    max_depth: int = Field(12, ge=3, description="Depth of fields, through fragments")
    max_aliases: int = Field(30, ge=0, description="Aliases a document")
    max_root_fields: int = Field(20, ge=1, description="Root fields an operation")
    max_root_mutations: int = Field(5, ge=1, description="Root fields a mutation")
    max_directives: int = Field(50, ge=0, description="Directives a document")
    max_cost: int = Field(5000, ge=100, description="Cost of a document, see docs/limits.md")
    cost_bucket: bool | None = Field(None, description="Bound what one caller may ask for in a while; default: in production mode alone")
    cost_per_second: int = Field(5000, ge=1, description="Cost that a buyer, or a network of those not signed in, may ask for a second")
    cost_burst: int = Field(25000, ge=100, description="Cost that may be asked for at once after a pause")
    request_seconds: float = Field(10.0, gt=0, description="Deadline of one request")
    max_running: int = Field(200, ge=1, description="Requests worked on at once; more are answered OVERLOADED")
    session_idle_days: int = Field(14, ge=1, description="A session ends after so many days without use")
    session_days: int = Field(30, ge=1, description="A session ends after so many days")
    bus_poll_seconds: float = Field(5.0, gt=0, description="How often the tables are looked at when the bus may be silent")
    drain_seconds: float = Field(25.0, ge=0, description="How long requests in work may finish after SIGTERM")
    allow_unsafe: bool = Field(False, description="Start although SQLite's synchronous is below FULL")

    @field_validator("allowed_origins", "allowed_hosts", "forwarded_allow_ips", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(v.strip() for v in value.split(",") if v.strip()) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "postgres://", "postgresql://")):
            raise ValueError("must begin with sqlite:/// or postgres://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_bus(cls, value: str) -> str:
        if value and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @model_validator(mode="after")
    def _fit_for_production(self) -> "Settings":
        pepper = self.password_pepper.get_secret_value()
        if self.mode is Mode.PRODUCTION and pepper and len(pepper.encode()) < 32:
            raise ValueError("password_pepper is shorter than 32 bytes")
        return self

    @property
    def is_demo(self) -> bool:
        return self.mode is Mode.DEMO

    @property
    def bounds_cost(self) -> bool:
        return self.mode is Mode.PRODUCTION if self.cost_bucket is None else self.cost_bucket

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def sqlite_path(self) -> Path:
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"


def read_settings(**given: object) -> Settings:
    """The settings of this process: `given` first, then the environment, then the defaults.

    Raises:
        WrongSetting: with a sentence that names the setting and what is wrong with it.
    """
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as wrong:
        first = wrong.errors()[0]
        name = "KABINET_" + "_".join(str(part) for part in first["loc"]).upper()
        raise WrongSetting(f"{name}: {first['msg'].removeprefix('Value error, ')}".replace("KABINET_:", "KABINET settings:")) from None
