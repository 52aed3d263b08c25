from tests.wire.auditing import failed_audits


async def test_every_audit_passes(shop):
    assert await failed_audits(shop.url) == {}
