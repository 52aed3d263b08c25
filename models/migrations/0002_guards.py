"""What a table must hold to, beyond what Tortoise's models can say."""

from tortoise import migrations

from models.constraints import check, statements
from models.events import EVENT_TABLE


class Migration(migrations.Migration):
    dependencies = [("models", "0001_tables")]

    operations = [
        statements(sqlite=[EVENT_TABLE["sqlite"]], postgres=[EVENT_TABLE["postgres"]]),
        check("product_price_positive", "product", "price_minor > 0", ["price_minor"]),
        check("price_point_positive", "price_point", "price_minor > 0", ["price_minor"]),
        check("favorite_percent", "favorite", "watch_percent BETWEEN 1 AND 99", ["watch_percent"]),
        check("favorite_target_positive", "favorite", "watch_target_minor > 0", ["watch_target_minor"]),
        check("price_drop_falls", "price_drop", "new_minor < old_minor", ["new_minor", "old_minor"]),
    ]
