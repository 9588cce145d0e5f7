//! A text as a QR code: SVG that a page holds itself, so nothing is loaded and no other program sees the text.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules of white around the code (ISO/IEC 18004).
const MARGIN: i32 = 4;

/// The SVG of a text; nothing when it is too long for one.
pub(crate) fn svg(text: &str) -> String {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else {
        return String::new();
    };
    let mut path = String::new();
    for y in 0..code.size() {
        for x in 0..code.size() {
            if code.get_module(x, y) {
                // A string takes all.
                let _written = write!(path, "M{} {}h1v1h-1z", x + MARGIN, y + MARGIN);
            }
        }
    }
    let side = code.size() + 2 * MARGIN;
    // Black on white, whatever the page's colours are: cameras want it so.
    format!(
        r##"<svg class="qr" viewBox="0 0 {side} {side}" role="img" aria-label="QR code of the secret below" shape-rendering="crispEdges"><rect width="{side}" height="{side}" fill="#fff"/><path d="{path}" fill="#000"/></svg>"##
    )
}

#[cfg(test)]
mod tests {
    use super::svg;

    #[test]
    fn a_code_has_its_three_corners_and_holds_nothing_of_the_text_as_text() {
        let svg = svg("otpauth://totp/magewarden:\"><script>?secret=ABC");
        assert!(!svg.contains("script") && !svg.contains("ABC"));
        // Version 4 has 33 modules a side; the finder patterns begin at its corners.
        assert!(svg.contains(r#"viewBox="0 0 41 41""#), "{svg}");
        for corner in ["M4 4h1", "M36 4h1", "M4 36h1"] {
            assert!(svg.contains(corner), "{corner}");
        }
        assert!(!svg.contains("M36 36h1v1h-1zM36 36"));
        assert_eq!(super::svg(&"x".repeat(5000)), "");
    }
}
