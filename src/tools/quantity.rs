//! Kubernetes quantities, as `100m` or `64Mi`, exactly: in billionths of a unit.

/// Billionths in one.
const ONE: u128 = 1_000_000_000;
/// Digits of a number, at most: what a `u128` holds beside the largest suffix is far less.
const MAX_DIGITS: usize = 36;

/// An amount of something, not negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quantity(u128);

impl Quantity {
    /// Reads a quantity as Kubernetes writes it: a decimal number with `n`, `u`, `m`, `k`, `Ki`, `M`, `Mi`, … or an
    /// exponent. `None` for anything else, and for what is too large to count.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        let fits = (1..=MAX_DIGITS).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
        let value: u128 = digits.parse().ok().filter(|_| fits)?;
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        Some(Self(value.checked_mul(unit(suffix)?)? / scale))
    }

    /// A whole number of units, as bytes.
    pub(super) fn units(count: u64) -> Self {
        Self(u128::from(count) * ONE)
    }

    /// A whole number of billionths, as nanocores.
    pub(super) fn nano(count: u64) -> Self {
        Self(u128::from(count))
    }

    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// As cores: `250m`, rounded up.
    pub(super) fn cores(self) -> String {
        format!("{}m", self.0.div_ceil(ONE / 1000))
    }

    /// As memory: `64Mi`, rounded down.
    pub(super) fn mebibytes(self) -> String {
        format!("{}Mi", self.0 / ONE / 1024 / 1024)
    }

    /// The share of `all` in percent, rounded down; empty of nothing.
    pub(super) fn percent_of(self, all: Self) -> String {
        let percent = self.0.checked_mul(100).and_then(|hundredfold| hundredfold.checked_div(all.0));
        percent.map(|percent| format!("{percent}%")).unwrap_or_default()
    }
}

/// Billionths in one of `suffix`.
fn unit(suffix: &str) -> Option<u128> {
    Some(match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => ONE,
        "k" => ONE * 1_000,
        "M" => ONE * 1_000_000,
        "G" => ONE * 1_000_000_000,
        "T" => ONE * 1_000_000_000_000,
        "P" => ONE * 1_000_000_000_000_000,
        "E" => ONE * 1_000_000_000_000_000_000,
        "Ki" => ONE << 10,
        "Mi" => ONE << 20,
        "Gi" => ONE << 30,
        "Ti" => ONE << 40,
        "Pi" => ONE << 50,
        "Ei" => ONE << 60,
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_u128.checked_pow(u32::try_from(power.checked_add(9)?).ok()?)?
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::Quantity;

    #[test]
    fn quantities_are_read_exactly() {
        let cores = |text: &str| Quantity::parse(text).map(Quantity::cores);
        for (text, expected) in [
            ("100m", "100m"),
            ("1", "1000m"),
            ("0.029", "29m"),
            ("1.5", "1500m"),
            ("250000000n", "250m"),
            ("250000001n", "251m"),
            ("1500u", "2m"),
            ("0", "0m"),
            ("2e-3", "2m"),
            ("1E1", "10000m"),
        ] {
            assert_eq!(cores(text).as_deref(), Some(expected), "{text}");
        }
        let memory = |text: &str| Quantity::parse(text).map(Quantity::mebibytes);
        for (text, expected) in [
            ("64Mi", "64Mi"),
            ("65536Ki", "64Mi"),
            ("1Gi", "1024Mi"),
            ("67108864", "64Mi"),
            ("67108863", "63Mi"),
            ("128974848000m", "123Mi"),
            ("1G", "953Mi"),
            ("1e9", "953Mi"),
            ("1E", "953674316406Mi"),
        ] {
            assert_eq!(memory(text).as_deref(), Some(expected), "{text}");
        }
        for bad in ["", "m", "-1", "+1", "1.2.3", "1 m", "1x", "Mi", ".", "1e", "1e99", &"9".repeat(40)] {
            assert_eq!(Quantity::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_share_of_nothing_is_not_said() {
        let (half, whole) = (Quantity::parse("500m").unwrap(), Quantity::parse("1").unwrap());
        assert_eq!((half.percent_of(whole), half.percent_of(Quantity::default())), ("50%".into(), String::new()));
        assert_eq!(half.plus(half), whole);
        assert_eq!(Quantity::units(1 << 20).mebibytes(), "1Mi");
        assert_eq!(Quantity::nano(1).cores(), "1m");
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in any::<String>(), number in "[0-9.]{0,50}(|e|E|Ki|Ei|m)[0-9-]{0,12}") {
            for text in [text, number] {
                if let Some(quantity) = Quantity::parse(&text) {
                    drop((quantity.cores(), quantity.mebibytes(), quantity.percent_of(quantity.plus(quantity))));
                }
            }
        }
    }
}
