//! Time and chance, handed in so that every rule can be replayed.

use uuid::Uuid;

use crate::Timestamp;

/// Tells the time. May go back; nothing relies on it going forward.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Gives identifiers, secrets and chance.
pub trait Entropy: Send + Sync + 'static {
    /// 128 bits that nobody can guess.
    fn secret(&self) -> u128;

    /// A number in `0.0..1.0` for jitter.
    fn chance(&self) -> f64;

    /// A new identifier (UUIDv7, RFC 9562 section 5.7).
    fn id(&self, now: Timestamp) -> Uuid {
        let millis = u128::from(now.micros().unsigned_abs() / 1_000) & 0xffff_ffff_ffff;
        let random = self.secret();
        let mut value = (millis << 80) | (random & 0xffff_ffff_ffff_ffff_ffff);
        value = (value & !(0xf << 76)) | (0x7 << 76);
        value = (value & !(0b11 << 62)) | (0b10 << 62);
        Uuid::from_u128(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u128);

    impl Entropy for Fixed {
        fn secret(&self) -> u128 {
            self.0
        }

        fn chance(&self) -> f64 {
            0.0
        }
    }

    #[test]
    fn an_identifier_is_a_uuid_of_version_7_and_orders_by_time() {
        let earlier = Fixed(u128::MAX).id(Timestamp::from_micros(1_700_000_000_000_000));
        let later = Fixed(0).id(Timestamp::from_micros(1_700_000_000_001_000));
        assert_eq!(
            (earlier.get_version_num(), earlier.get_variant()),
            (7, uuid::Variant::RFC4122)
        );
        assert_eq!(
            (later.get_version_num(), later.get_variant()),
            (7, uuid::Variant::RFC4122)
        );
        assert!(earlier < later);
    }
}
