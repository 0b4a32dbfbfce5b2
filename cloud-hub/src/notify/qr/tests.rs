use super::*;

const TOKEN: &str =
    "LK1:6BF0X2SU7H3Y1K8P-G0FVE2B.QBW4T%R5/8 HL-DMH9C+QUM/2E39+XKB88NFMWT0Y+QN1KR$J3Z3QQ";

struct Picture {
    edge_px: usize,
    bits: Vec<u8>,
}

impl Picture {
    fn of(text: &str) -> Self {
        let file = png_of(text).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut bits = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bits).unwrap();
        assert_eq!(
            (info.color_type, info.bit_depth),
            (png::ColorType::Grayscale, png::BitDepth::One)
        );
        assert_eq!(info.width, info.height);
        Self { edge_px: usize::try_from(info.width).unwrap(), bits }
    }

    fn dark(&self, x: usize, y: usize) -> bool {
        let row_bytes = self.edge_px.div_ceil(8);
        self.bits[y * row_bytes + x / 8] & (0x80 >> (x % 8)) == 0
    }
}

#[test]
fn the_picture_has_whole_modules_and_a_quiet_zone() {
    let picture = Picture::of(TOKEN);
    let code = QRBuilder::new(TOKEN).ecl(ECL::M).build().unwrap();
    assert_eq!(picture.edge_px, (code.size + 8) * 8);
    for y in 0..picture.edge_px {
        for x in 0..picture.edge_px {
            let module = |px: usize| (px / 8).checked_sub(4).filter(|at| *at < code.size);
            let expected = module(y).zip(module(x)).is_some_and(|(y, x)| code[y][x].value());
            assert_eq!(picture.dark(x, y), expected, "pixel {x},{y}");
        }
    }
}

#[test]
fn a_token_needs_no_more_than_version_8() {
    let longest: String = std::iter::repeat_n('A', 221).collect();
    assert_eq!(Picture::of(&longest).edge_px, (49 + 8) * 8);
}

#[test]
fn a_text_beyond_every_version_is_refused() {
    let endless: String = std::iter::repeat_n('A', 4_000).collect();
    assert!(matches!(png_of(&endless), Err(DrawQrError::Code(_))));
}
