//! When an X.509 certificate begins and ends: the one thing that rustls does not tell (RFC 5280 4.1).

use std::time::{Duration, SystemTime};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`: the version.
const VERSION: u8 = 0xa0;

/// `notBefore` and `notAfter` of a DER certificate; `None` when they cannot be read.
pub(super) fn validity(der: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (certificate, _) = take(der, SEQUENCE)?;
    let (mut fields, _) = take(certificate, SEQUENCE)?;
    if let Some((_, rest)) = take(fields, VERSION) {
        fields = rest;
    }
    // Serial number, signature algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        fields = take(fields, tag)?.1;
    }
    let (validity, _) = take(fields, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    time(rest).map(|(not_after, _)| (not_before, not_after))
}

/// The content of the element at the start, which must have this tag, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

fn time(der: &[u8]) -> Option<(SystemTime, &[u8])> {
    if let Some((text, rest)) = take(der, UTC_TIME) {
        let text = std::str::from_utf8(text).ok()?;
        // RFC 5280 4.1.2.5.1: 50 to 99 are of the last century.
        let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
        return Some((date(&format!("{century}{text}"))?, rest));
    }
    let (text, rest) = take(der, GENERALIZED_TIME)?;
    Some((date(std::str::from_utf8(text).ok()?)?, rest))
}

/// `YYYYMMDDHHMMSSZ`.
pub(super) fn date(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(8..10)?, number(10..12)?, number(12..14)?);
    if text.get(14..) != Some("Z") || year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let before: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let months = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let within: u64 = months.iter().take(usize::try_from(month - 1).ok()?).sum();
    let seconds = (((before + within + day - 1) * 24 + hour) * 60 + minute) * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::{date, validity};
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_end_is_read_in_both_forms_of_time() {
        for (year, seconds) in [(2031, 1_925_078_400), (2076, 3_345_148_800)] {
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(2030, 1, 2);
            params.not_after = rcgen::date_time_ymd(year, 1, 2);
            let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            let (begins, ends) = validity(made.der()).unwrap();
            assert_eq!(begins, UNIX_EPOCH + Duration::from_secs(1_893_542_400));
            assert_eq!(ends, UNIX_EPOCH + Duration::from_secs(seconds), "{year}");
            assert_eq!(validity(&made.der()[..40]), None);
        }
    }

    #[test]
    fn dates() {
        let seconds = |text| date(text).map(|at| at.duration_since(UNIX_EPOCH).unwrap().as_secs());
        assert_eq!(seconds("20240301000000Z"), Some(1_709_251_200));
        assert_eq!(seconds("19700101000001Z"), Some(1));
        for bad in ["20241301000000Z", "2024030100000Z", "20240301000000", "20240301000000+01", "x"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
