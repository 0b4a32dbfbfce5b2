//! A token's text as the picture that a scanner reads: a QR code in a PNG.

use fast_qr::ECL;
use fast_qr::qr::{QRBuilder, QRCodeError};

/// White modules around the code, as ISO/IEC 18004, section 6.3.8 asks for.
const QUIET_ZONE_MODULES: usize = 4;
/// Pixels along a module's edge. Eight of one bit make a byte, so that a module's row is one byte.
const MODULE_PX: usize = 8;

/// Draws `text` as a QR code of error correction level M, one bit a pixel.
///
/// # Errors
/// When the text does not fit into any QR code.
pub fn png_of(text: &str) -> Result<Vec<u8>, DrawQrError> {
    let code = QRBuilder::new(text).ecl(ECL::M).build().map_err(DrawQrError::Code)?;
    let modules = code.size + 2 * QUIET_ZONE_MODULES;
    let mut pixels = Vec::with_capacity(modules * modules * MODULE_PX);
    for row in 0..modules {
        let line: Vec<u8> = (0..modules)
            .map(|column| {
                let inside =
                    |at: usize| at.checked_sub(QUIET_ZONE_MODULES).filter(|at| *at < code.size);
                let dark = inside(row).zip(inside(column)).is_some_and(|(y, x)| code[y][x].value());
                if dark { 0x00 } else { 0xff }
            })
            .collect();
        for _ in 0..MODULE_PX {
            pixels.extend_from_slice(&line);
        }
    }
    let edge_px = u32::try_from(modules * MODULE_PX)
        .map_err(|_| DrawQrError::Code(QRCodeError::EncodedData))?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, edge_px, edge_px);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().map_err(DrawQrError::Png)?;
    writer.write_image_data(&pixels).map_err(DrawQrError::Png)?;
    writer.finish().map_err(DrawQrError::Png)?;
    Ok(file)
}

/// Why a text could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum DrawQrError {
    /// Too long for a QR code.
    #[error("the text does not fit into a QR code")]
    Code(#[source] QRCodeError),
    /// The picture could not be written; memory is all it needs.
    #[error("the picture cannot be written")]
    Png(#[source] png::EncodingError),
}

#[cfg(test)]
mod tests;
