//! Text that a person wrote, to be kept: of a length that fits, and printable.

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{what}` is {problem}")]
pub struct UnfitText {
    what: &'static str,
    problem: String,
}

/// Letters are counted without the blanks around them.
pub(crate) fn check(what: &'static str, text: &str, least: usize, most: usize) -> Result<(), UnfitText> {
    let length = text.trim().chars().count();
    let problem = if length < least {
        "empty".to_owned()
    } else if length > most {
        format!("{length} letters long, at most {most} are kept")
    } else if text.chars().any(|letter| letter.is_control() && letter != '\n') {
        "not printable: it holds a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(UnfitText { what, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_said() {
        assert_eq!(check("author", " ann ", 1, 3), Ok(()));
        assert_eq!(check("comment", "", 0, 3), Ok(()));
        let said = |text: &str| check("author", text, 1, 3).unwrap_err().to_string();
        assert_eq!(said("  "), "`author` is empty");
        assert_eq!(said("anna"), "`author` is 4 letters long, at most 3 are kept");
        assert_eq!(
            said("a\0"),
            "`author` is not printable: it holds a control character"
        );
    }
}
