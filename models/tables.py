"""The modules that hold tables. Tortoise reads them in this order; a new domain's module is added here."""

MODULES: list[str] = [
    "models.clock",
    "models.activity",
    "models.events",
    "models.outbox",
    "models.timers",
    "models.accounts",
    "models.sessions",
    "models.catalog",
    "models.favorites",
    "models.orders",
    "models.shipments",
    "models.protection",
    "models.messages",
    "models.coupons",
]
