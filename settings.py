"""Settings: read once from the environment (prefix KABINET_), checked at start, passed in to whoever needs them."""

import enum
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_SENDER = re.compile(r'^(?:[^\x00-\x1f\x7f<>@,;:"\\]+ <[^\s\x00-\x1f<>@,;]+@[a-zA-Z0-9.-]+>|[^\s\x00-\x1f<>@,;]+@[a-zA-Z0-9.-]+)\Z')
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\Z")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

Names = Annotated[tuple[str, ...], NoDecode]


class Mode(enum.StrEnum):
    DEMO = "demo"
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class SmtpTls(enum.StrEnum):
    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    OFF = "off"


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
    redis_url: str = Field("", description="redis://… carries news between processes, and what they count of traffic together; empty: one process")
    redis_prefix: str = Field("kabinet", description="First part of the names of Redis channels and keys")
    worker: bool = Field(True, description="Run the worker (timers, fan-out, outbox) inside the server")
    allowed_origins: Names = Field((), description="Origins besides our own that may call with a cookie; comma separated, exact")
    allowed_hosts: Names = Field((), description="Host names that are answered; comma separated; empty: any outside production, that of public_url in it")
    forwarded_allow_ips: Names = Field((), description="Addresses or networks of proxies whose X-Forwarded-For counts; comma separated")
    secret_key: SecretStr = Field(SecretStr(""), description="What our own signatures are made with; at least 32 bytes, required in production; elsewhere the database keeps one when empty")
    secret_key_previous: SecretStr = Field(SecretStr(""), description="The secret_key before this one, still accepted while it is being changed; at least 32 bytes in production when set")
    password_pepper: SecretStr = Field(SecretStr(""), description="Key of the HMAC taken of a password before Argon2id; at least 32 bytes in production when set")
    password_memory_kib: int = Field(19456, ge=19456, description="Argon2id memory")
    password_passes: int = Field(2, ge=2, description="Argon2id passes")
    password_min_length: int = Field(8, ge=8, le=64, description="Characters that a new password has at least")
    captcha_cost: int = Field(5000, ge=1, le=200_000, description="Work of one try at a captcha; a browser needs 256 tries on average")
    captcha_after_failures: int = Field(1000, ge=0, description="Failed sign-ins in 5 minutes, by all processes together, from which on signIn asks everybody for a captcha; 0: always")
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
    max_visitors: int = Field(10_000, ge=1, description="Sockets and event streams that nobody is signed in on, a process")
    max_visitors_a_network: int = Field(2_000, ge=1, description="Of them, from one network (an IPv4 address, an IPv6 /64)")
    session_idle_days: int = Field(14, ge=1, description="A session ends after so many days without use")
    session_days: int = Field(30, ge=1, description="A session ends after so many days")
    sign_in_policy: str = Field("RU", description="Which ways of signing in are open where: OPEN, RU, or the path of a file such as auth/policies/RU.toml")
    foreign_sign_in: Literal["allow", "deny"] = Field("allow", description="deny closes the providers that the policy calls foreign, for everybody there")
    sms_countries: Names = Field((), description="Countries (ISO 3166) whose numbers codes are sent to; comma separated; empty: all")
    sms_a_day: int = Field(10_000, ge=0, description="Text messages in 24 hours, whatever they say, by all processes together; the last tenth is kept for buyers who are known")
    captcha_after_sms: int | None = Field(None, ge=0, description="Text messages in 24 hours from which on requestPhoneCode asks everybody for a captcha; default: half of sms_a_day; 0: always")
    passkey_rp_id: str = Field("", description="Domain that passkeys belong to, for good; empty: the host of public_url")
    vk_client_id: str = Field("", description="Application id at VK ID; empty: nobody signs in by VK ID")
    vk_url: str = Field("https://id.vk.com", description="Where VK ID is")
    ok_client_id: str = Field("", description="Application id at Odnoklassniki; empty: nobody signs in by it")
    ok_client_secret: SecretStr = Field(SecretStr(""), description="Secret key of the application at Odnoklassniki")
    ok_application_key: str = Field("", description="Public key of the application at Odnoklassniki")
    ok_url: str = Field("https://connect.ok.ru", description="Where Odnoklassniki asks the buyer")
    ok_api_url: str = Field("https://api.ok.ru", description="Where Odnoklassniki gives tokens and profiles")
    mailru_client_id: str = Field("", description="Application id at Mail.ru; empty: nobody signs in by it")
    mailru_client_secret: SecretStr = Field(SecretStr(""), description="Secret of the application at Mail.ru")
    mailru_url: str = Field("https://oauth.mail.ru", description="Where Mail.ru is")
    google_client_id: str = Field("", description="Client id at Google; empty: nobody signs in by Google")
    google_client_secret: SecretStr = Field(SecretStr(""), description="Client secret at Google")
    google_url: str = Field("https://accounts.google.com", description="Google's issuer")
    demo_idp_url: str = Field("http://127.0.0.1:8090", description="Demo mode: where python server.py demo-idp stands in for providers without a client id; empty: nowhere")
    bus_poll_seconds: float = Field(5.0, gt=0, description="How often the tables are looked at when the bus may be silent")
    smtp_host: str = Field("", description="Mail server that takes our letters; empty: see docs/letters.md")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port; 465 is usual with implicit TLS")
    smtp_tls: SmtpTls = Field(SmtpTls.STARTTLS, description="starttls, implicit or off")
    smtp_user: str = Field("", description="Name to sign in to the mail server with; empty: without")
    smtp_password: SecretStr = Field(SecretStr(""), description="Its password; never sent without TLS in production")
    mail_from: str = Field("", description="Sender of our mails, Kabinet <no-reply@shop.example>; needed with smtp_host")
    sms_url: str = Field("", description="Gateway that takes text messages by POST; empty: see docs/letters.md")
    sms_token: SecretStr = Field(SecretStr(""), description="Bearer token for the gateway")
    unready_seconds: float | None = Field(None, ge=0, description="How long requests are still taken, but not promised, after SIGTERM; default: 3 in production mode, else 0")
    drain_seconds: float = Field(25.0, ge=0, description="How long requests in work may finish after SIGTERM")
    allow_unsafe: bool = Field(False, description="Start although SQLite's synchronous is below FULL")

    @field_validator("allowed_origins", "allowed_hosts", "forwarded_allow_ips", "sms_countries", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(v.strip() for v in value.split(",") if v.strip()) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "postgres://", "postgresql://")):
            raise ValueError("must begin with sqlite:/// or postgres://")
        if value.startswith("sqlite") and "?" in value:
            raise ValueError("nothing may follow the path of a SQLite file: it always runs durably")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_bus(cls, value: str) -> str:
        if value and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("passkey_rp_id")
    @classmethod
    def _bare_domain(cls, value: str) -> str:
        if value and not _DOMAIN.match(value):
            raise ValueError("must be a bare domain in lower case, such as shop.example")
        return value

    @field_validator("mail_from")
    @classmethod
    def _one_sender(cls, value: str) -> str:
        if value and not _SENDER.match(value):
            raise ValueError("must be one address: no-reply@shop.example, or Kabinet <no-reply@shop.example>")
        return value

    @field_validator("sms_url")
    @classmethod
    def _known_gateway(cls, value: str) -> str:
        if value and not (value.startswith(("https://", "http://")) and urlsplit(value).hostname):
            raise ValueError("must begin with https:// or http://, and name a host")
        return value

    @model_validator(mode="after")
    def _fit_for_letters(self) -> "Settings":
        if self.smtp_host and not self.mail_from:
            raise ValueError("smtp_host is set and mail_from is not: mails need a sender")
        if bool(self.smtp_user) != bool(self.smtp_password.get_secret_value()):
            raise ValueError("smtp_user and smtp_password belong together: one of them is not set")
        if self.mode is Mode.PRODUCTION and self.smtp_user and self.smtp_tls is SmtpTls.OFF:
            raise ValueError("smtp_password would be sent unencrypted: smtp_tls is off")
        if self.mode is Mode.PRODUCTION and self.sms_url.startswith("http:") and urlsplit(self.sms_url).hostname not in _LOOPBACK:
            raise ValueError("sms_url would carry codes unencrypted: it must begin with https://")
        return self

    @model_validator(mode="after")
    def _fit_for_production(self) -> "Settings":
        for name in ("password_pepper", "secret_key", "secret_key_previous"):
            if self.mode is Mode.PRODUCTION and 0 < len(_told(getattr(self, name)).encode()) < 32:
                raise ValueError(f"{name} is shorter than 32 bytes")
        for name in ("ok_client_secret", "ok_application_key", "mailru_client_secret", "google_client_secret"):
            if getattr(self, f"{name.partition('_')[0]}_client_id") and not _told(getattr(self, name)):
                raise ValueError(f"{name} is missing")
        urls = [self.vk_url, self.ok_url, self.ok_api_url, self.mailru_url, self.google_url]
        if self.mode is Mode.PRODUCTION and not all(url.startswith("https://") for url in urls):
            raise ValueError("providers are reached over https:// alone")
        return self

    @property
    def is_demo(self) -> bool:
        return self.mode is Mode.DEMO

    @property
    def bounds_cost(self) -> bool:
        return self.mode is Mode.PRODUCTION if self.cost_bucket is None else self.cost_bucket

    @property
    def seconds_unready(self) -> float:
        if self.unready_seconds is not None:
            return self.unready_seconds
        return 3.0 if self.mode is Mode.PRODUCTION else 0.0

    @property
    def sms_before_captcha(self) -> int:
        return -(-self.sms_a_day // 2) if self.captcha_after_sms is None else self.captcha_after_sms

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def sqlite_path(self) -> Path:
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def passkey_domain(self) -> str:
        """What browsers call the rpId. It is never an address: on this machine passkeys live at http://localhost."""
        host = urlsplit(self.base_url).hostname or ""
        return self.passkey_rp_id or ("localhost" if host in _LOOPBACK else host)

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"


def _told(value: str | SecretStr) -> str:
    return value if isinstance(value, str) else value.get_secret_value()


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
