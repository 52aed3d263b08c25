from tortoise import migrations
from tortoise.migrations import operations as ops
from models.accounts import IdentityKind
from models.columns import GivenKey, dump_json, load_json
from models.favorites import WatchKind
from models.instants import Instant
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name='Account',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('external_id', fields.CharField(null=True, unique=True, max_length=120)),
                ('display_name', fields.CharField(max_length=200)),
                ('email', fields.CharField(null=True, max_length=254)),
                ('phone', fields.CharField(null=True, max_length=20)),
                ('language', fields.CharField(max_length=8)),
                ('region', fields.CharField(max_length=2)),
                ('currency', fields.CharField(max_length=3)),
                ('created_at', Instant(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'account', 'app': 'models', 'pk_attr': 'id', 'table_description': "A buyer. `external_id` is the platform's; `region` an ISO 3166 code, `currency` ISO 4217."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='AccountEventCounter',
            fields=[
                ('account_id', GivenKey(primary_key=True, unique=True, db_index=True)),
                ('newest', fields.BigIntField(source_field='last', default=0)),
            ],
            options={'table': 'account_event_counter', 'app': 'models', 'pk_attr': 'account_id', 'table_description': "The number of the account's newest event; made with the account."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Activity',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('at', Instant(auto_now=False, auto_now_add=False)),
                ('actor_kind', fields.CharField(max_length=8)),
                ('actor_id', fields.BigIntField(null=True)),
                ('verb', fields.CharField(max_length=64)),
                ('subject_kind', fields.CharField(max_length=32)),
                ('subject_id', fields.BigIntField(null=True)),
                ('details', fields.JSONField(encoder=dump_json, decoder=load_json)),
            ],
            options={'table': 'activity', 'app': 'models', 'indexes': [Index(fields=['subject_kind', 'subject_id', 'id']), Index(fields=['actor_kind', 'actor_id', 'id'])], 'pk_attr': 'id', 'table_description': "One thing that was done; rows are only added. `at` is the domain's instant."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='DomainClock',
            fields=[
                ('id', GivenKey(primary_key=True, unique=True, db_index=True)),
                ('offset_seconds', fields.BigIntField()),
            ],
            options={'table': 'domain_clock', 'app': 'models', 'pk_attr': 'id', 'table_description': 'One row, id 1; none: the clock has never been moved.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Guess',
            fields=[
                ('key', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=120)),
                ('failures', fields.IntField()),
                ('first_at', Instant(auto_now=False, auto_now_add=False)),
                ('until', Instant(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'guess', 'app': 'models', 'pk_attr': 'key', 'table_description': 'Failed sign-ins counted under a key: an account, an address, or both. `until` is when the next try is heard.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Identity',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('account', fields.ForeignKeyField('models.Account', source_field='account_id', db_constraint=True, to_field='id', on_delete=OnDelete.RESTRICT)),
                ('kind', fields.CharEnumField(description='EMAIL: EMAIL\nPHONE: PHONE', enum_type=IdentityKind, max_length=10)),
                ('subject', fields.CharField(max_length=254)),
                ('verified_at', Instant(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'identity', 'app': 'models', 'unique_together': (('kind', 'subject'),), 'indexes': [Index(fields=['account_id'])], 'pk_attr': 'id', 'table_description': "One way of signing in; `subject` is the folded address, the E.164 number or the provider's own key."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='OutboxMessage',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('message_id', fields.CharField(unique=True, max_length=32)),
                ('kind', fields.CharField(max_length=64)),
                ('payload', fields.JSONField(encoder=dump_json, decoder=load_json)),
                ('wanted_at', Instant(auto_now=False, auto_now_add=False)),
                ('due_at', Instant(null=True, auto_now=False, auto_now_add=False)),
                ('attempts', fields.IntField(default=0)),
                ('sent_at', Instant(null=True, auto_now=False, auto_now_add=False)),
                ('dead_at', Instant(null=True, auto_now=False, auto_now_add=False)),
                ('last_error', fields.CharField(null=True, max_length=500)),
            ],
            options={'table': 'outbox', 'app': 'models', 'indexes': [Index(fields=['due_at', 'id']), Index(fields=['sent_at'])], 'pk_attr': 'id', 'table_description': 'A message on its way. One of `sent_at` and `dead_at` ends it.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Password',
            fields=[
                ('account', fields.OneToOneField('models.Account', source_field='account_id', primary_key=True, db_index=True, db_constraint=True, to_field='id', on_delete=OnDelete.RESTRICT)),
                ('hash', fields.CharField(max_length=200)),
                ('changed_at', Instant(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'password', 'app': 'models', 'pk_attr': 'account_id', 'table_description': "The Argon2id hash of an account's password; no row where none was set."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Probe',
            fields=[
                ('id', GivenKey(primary_key=True, unique=True, db_index=True)),
                ('times', fields.BigIntField()),
            ],
            options={'table': 'probe', 'app': 'models', 'pk_attr': 'id', 'table_description': 'One row, id 1, written to see whether writing works.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Session',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('account', fields.ForeignKeyField('models.Account', source_field='account_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('token_hash', fields.CharField(unique=True, max_length=64)),
                ('created_at', Instant(auto_now=False, auto_now_add=False)),
                ('used_at', Instant(auto_now=False, auto_now_add=False)),
                ('ends_at', Instant(auto_now=False, auto_now_add=False)),
                ('revoked_at', Instant(null=True, auto_now=False, auto_now_add=False)),
                ('address', fields.CharField(max_length=45)),
                ('agent', fields.CharField(max_length=200)),
            ],
            options={'table': 'session', 'app': 'models', 'indexes': [Index(fields=['account_id', 'created_at'])], 'pk_attr': 'id', 'table_description': "A sign-in that lasts. Only the SHA-256 of its token is kept; instants are the machine's."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='StaffToken',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('name', fields.CharField(max_length=100)),
                ('token_hash', fields.CharField(unique=True, max_length=64)),
                ('scopes', fields.JSONField(encoder=dump_json, decoder=load_json)),
                ('created_at', Instant(auto_now=False, auto_now_add=False)),
                ('revoked_at', Instant(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'staff_token', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A service or an operator that feeds and runs the shop; `scopes` is a JSON list of names.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Store',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('external_id', fields.CharField(unique=True, max_length=120)),
                ('name', fields.CharField(max_length=200)),
            ],
            options={'table': 'store', 'app': 'models', 'pk_attr': 'id', 'table_description': "A seller's shop."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Product',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('external_id', fields.CharField(unique=True, max_length=120)),
                ('store', fields.ForeignKeyField('models.Store', source_field='store_id', db_constraint=True, to_field='id', on_delete=OnDelete.RESTRICT)),
                ('titles', fields.JSONField(encoder=dump_json, decoder=load_json)),
                ('title_folded', fields.TextField(unique=False)),
                ('available', fields.BooleanField()),
                ('currency', fields.CharField(max_length=3)),
                ('price_minor', fields.BigIntField()),
                ('priced_at', Instant(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'product', 'app': 'models', 'indexes': [Index(fields=['store_id'])], 'pk_attr': 'id', 'table_description': 'What a store sells. `titles` maps a language to the title in it; `title_folded` holds all of them, case-folded,'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Favorite',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('account', fields.ForeignKeyField('models.Account', source_field='account_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('product', fields.ForeignKeyField('models.Product', source_field='product_id', db_constraint=True, to_field='id', on_delete=OnDelete.RESTRICT)),
                ('added_at', Instant(auto_now=False, auto_now_add=False)),
                ('price_minor', fields.BigIntField()),
                ('currency', fields.CharField(max_length=3)),
                ('watch_kind', fields.CharEnumField(default=WatchKind.ANY_DROP, description='ANY_DROP: ANY_DROP\nTARGET: TARGET\nPERCENT: PERCENT', enum_type=WatchKind, max_length=10)),
                ('watch_target_minor', fields.BigIntField(null=True)),
                ('watch_percent', fields.IntField(null=True)),
                ('watch_paused', fields.BooleanField(default=False)),
                ('armed', fields.BooleanField(default=True)),
                ('alerted_minor', fields.BigIntField(null=True)),
                ('alerted_at', Instant(null=True, auto_now=False, auto_now_add=False)),
                ('peak_minor', fields.BigIntField(null=True)),
            ],
            options={'table': 'favorite', 'app': 'models', 'unique_together': (('account_id', 'product_id'),), 'indexes': [Index(fields=['account_id', 'added_at', 'id']), Index(fields=['product_id', 'account_id'])], 'pk_attr': 'id', 'table_description': "One product on one buyer's list. `price_minor` and `currency` are those at adding."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='PricePoint',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('product', fields.ForeignKeyField('models.Product', source_field='product_id', db_constraint=True, to_field='id', on_delete=OnDelete.RESTRICT)),
                ('at', Instant(auto_now=False, auto_now_add=False)),
                ('price_minor', fields.BigIntField()),
                ('currency', fields.CharField(max_length=3)),
                ('previous_minor', fields.BigIntField(null=True)),
            ],
            options={'table': 'price_point', 'app': 'models', 'unique_together': (('product_id', 'at'),), 'pk_attr': 'id', 'table_description': "One entry of a product's price history, as observed. `previous_minor` is the price it replaced; null for the"},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='FanOut',
            fields=[
                ('point', fields.OneToOneField('models.PricePoint', source_field='point_id', primary_key=True, db_index=True, db_constraint=True, to_field='id', on_delete=OnDelete.RESTRICT)),
                ('product_id', fields.BigIntField()),
                ('at', Instant(auto_now=False, auto_now_add=False)),
                ('account_id', fields.BigIntField(default=0)),
            ],
            options={'table': 'fan_out', 'app': 'models', 'indexes': [Index(fields=['product_id', 'at'])], 'pk_attr': 'point_id', 'table_description': 'Work left of one price point: its favourites above `account_id` have not been looked at yet. Points of one'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='PriceDrop',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('account', fields.ForeignKeyField('models.Account', source_field='account_id', db_constraint=True, to_field='id', on_delete=OnDelete.CASCADE)),
                ('number', fields.BigIntField()),
                ('favorite_id', fields.BigIntField()),
                ('product', fields.ForeignKeyField('models.Product', source_field='product_id', db_constraint=True, to_field='id', on_delete=OnDelete.RESTRICT)),
                ('point', fields.ForeignKeyField('models.PricePoint', source_field='point_id', db_constraint=True, to_field='id', on_delete=OnDelete.RESTRICT)),
                ('old_minor', fields.BigIntField()),
                ('new_minor', fields.BigIntField()),
                ('currency', fields.CharField(max_length=3)),
                ('at', Instant(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'price_drop', 'app': 'models', 'unique_together': (('account_id', 'number'), ('favorite_id', 'point_id')), 'pk_attr': 'id', 'table_description': "One alert that one favourite raised, kept for good. `number` is its event's, per account without a gap among"},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='TimerRow',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('kind', fields.CharField(max_length=64)),
                ('subject_id', fields.BigIntField()),
                ('due_at', Instant(auto_now=False, auto_now_add=False)),
                ('version', fields.BigIntField(default=1)),
            ],
            options={'table': 'timer', 'app': 'models', 'unique_together': (('kind', 'subject_id'),), 'indexes': [Index(fields=['due_at', 'id'])], 'pk_attr': 'id', 'table_description': "`due_at` is on the domain's clock. `version` changes whenever the timer is set anew."},
            bases=['Model'],
        ),
    ]
