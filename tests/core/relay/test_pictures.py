"""Arrays to tiles and tiles to files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from trainmon.relay.pictures import as_image, encode, normalize_layout, reduce_tile, to_bytes


def tile(shape: tuple[int, ...], value: int = 200) -> Image.Image:
    """Return an even picture."""
    return Image.fromarray(np.full(shape, value, np.uint8))


def decoded(data) -> Image.Image:
    """Return the picture in an ImageData, checked against what it says of itself."""
    image = Image.open(io.BytesIO(data.image_bytes))
    assert image.size == (data.width, data.height)
    assert len(image.getbands()) == data.channels
    assert image.format == data.format.upper()
    return image


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 1), (32, 32)),
        ((8, 8), (32, 32)),
        ((28, 28), (56, 56)),
        ((3, 9), (36, 36)),
        ((32, 32), (32, 32)),
        ((100, 10), (10, 100)),
        ((128, 128), (128, 128)),
        ((4000, 4000), (128, 128)),
        ((4000, 1), (1, 128)),
        ((300, 600), (128, 64)),
        ((480, 640, 3), (128, 96)),
    ],
)
def test_a_tile_has_the_size_asked_for(shape, expected):
    """Small pictures grow by whole factors to 32 or more, large ones shrink, shapes are kept."""
    assert reduce_tile(tile(shape), 128).size == expected


def test_enlarging_smooths_nothing_and_pads_in_the_middle():
    """A row of two pixels is two even squares between black bars."""
    picture = np.array([[0, 255]], np.uint8)
    pixels = np.asarray(reduce_tile(Image.fromarray(picture), 64))
    assert pixels.shape == (32, 32)
    assert set(np.unique(pixels)) == {0, 255}
    assert (pixels[8:24, 16:] == 255).all()
    assert (pixels[:8] == 0).all()
    assert (pixels[24:] == 0).all()


def test_an_alpha_channel_is_padded_with_nothing():
    """What surrounds a picture with transparency is transparent."""
    padded = reduce_tile(tile((2, 8, 4), 255), 64)
    assert padded.size == (32, 32)
    assert padded.getpixel((0, 0)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("shape", "format_"),
    [
        ((64, 64), "png"),
        ((65, 65), "jpeg"),
        ((32, 32, 3), "png"),
        ((33, 20, 3), "jpeg"),
        ((200, 200, 3), "jpeg"),
        ((200, 200, 4), "png"),
        ((16, 16, 3), "png"),
    ],
)
def test_small_pictures_and_transparent_ones_are_png(shape, format_):
    """PNG with alpha, grey up to 64 and coloured up to 32 pixels, else JPEG; all can be decoded."""
    data = encode(tile(shape), 85, max(shape[:2]))
    assert data.format == format_
    decoded(data)


def test_a_large_picture_reduced_to_a_small_tile_is_jpeg():
    """What counts is the picture there was: a photograph stays cheap however small its tile."""
    assert encode(reduce_tile(tile((500, 500, 3)), 64), 85, 500).format == "jpeg"


def test_png_is_exact_and_quality_makes_jpegs_larger():
    """Small pictures arrive bit for bit; the quality asked for is the quality used."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    alpha = np.dstack((noise, noise[..., 0]))
    for exact in (noise[..., 0], noise[:28, :32], noise[:3, :5], alpha):
        edge = max(exact.shape[:2])
        for small in (Image.fromarray(exact), reduce_tile(Image.fromarray(exact), 64)):
            assert (np.asarray(decoded(encode(small, 85, edge))) == np.asarray(small)).all()
    large = Image.fromarray(np.tile(noise, (4, 4, 1)))
    sizes = [len(encode(large, quality, 192).image_bytes) for quality in (20, 85)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([0, 7, 255], np.uint8), [0, 7, 255]),
        (np.array([False, True, True]), [0, 255, 255]),
        (np.array([0.0, 0.5, 1.0], np.float32), [0, 128, 255]),
        (np.array([0.0, 0.5, 1.0], np.float16), [0, 128, 255]),
        (np.array([0.0, 100.0, 200.0], np.float64), [0, 100, 200]),
        (np.array([0, 100, 200], np.int64), [0, 100, 200]),
        (np.array([0, 8, 16], np.float32), [0, 128, 255]),
        (np.array([-1.0, 0.0, 1.0], np.float32), [0, 128, 255]),
        (np.array([0, 1000, 4000], np.int32), [0, 64, 255]),
        (np.array([np.nan, 0.5, 1.0], np.float32), [0, 128, 255]),
        (np.array([-np.inf, 0.0, np.inf], np.float32), [0, 0, 255]),
        (np.array([-1e300, 0.0, 1e300]), [0, 128, 255]),
        (np.array([10_000.0, 10_000.5, 10_001.0], np.float32), [0, 128, 255]),
        (np.array([np.nan, np.nan, np.nan], np.float32), [0, 0, 0]),
        (np.array([7.0, 7.0, 7.0], np.float32), [0, 0, 0]),
        (np.array([-3e38, 0.0, 3e38], np.float32), [0, 128, 255]),
    ],
    ids=str,
)
def test_any_type_and_range_of_pixels_is_shown(pixels, expected):
    """Guessed as documented: as they are, scaled from 0 to 1, or stretched; NaN is black."""
    with np.errstate(all="raise"):
        found = np.stack(to_bytes(pixels.reshape(1, 1, 3, 1)))
    assert found.dtype == np.uint8
    assert found.ravel().tolist() == expected


def test_stretching_is_done_tile_by_tile_and_guessing_frame_by_frame():
    """Each tile has its own extremes; one tile beyond 0 to 1 has all of them stretched."""
    pixels = np.array([[-1.0, 0.0], [10.0, 20.0]], np.float32).reshape(2, 1, 2, 1)
    assert np.stack(to_bytes(pixels)).ravel().tolist() == [0, 255, 0, 255]


def test_a_normalisation_that_is_told_is_undone_exactly():
    """Per channel, whatever the range: nothing is guessed then."""
    raw = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    normalised = ((raw / 255 - mean) / std).astype(np.float32)
    found = np.stack(to_bytes(normalised, {"mean": mean, "std": std}))
    assert (found == raw).all()


def test_one_number_normalises_every_channel():
    """``mean`` and ``std`` of length 1 hold for all channels."""
    images = np.zeros((1, 2, 2, 3), np.float32)
    assert (np.stack(to_bytes(images, {"mean": [0.5], "std": [0.5]})) == 128).all()


def test_a_coloured_picture_of_64_pixels_keeps_its_colours():
    """A red line as wide as a pixel is red in the JPEG as well."""
    drawing = np.zeros((64, 64, 3), np.uint8)
    drawing[:, 31, 0] = 255
    assert np.asarray(decoded(encode(Image.fromarray(drawing), 85, 64)))[:, 31, 0].min() > 200


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("first", [False, True], ids=["channels last", "channels first"])
def test_what_was_read_does_not_change_with_the_slot(channels, first):
    """The training may write into the slot again as soon as it was read."""
    shape = (1, channels, 4, 6) if first else (1, 4, 6, channels)
    slot = np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)
    (tile,) = to_bytes(normalize_layout(slot, channels_first=first))
    told, image = tile.copy(), as_image(tile)
    slot[:] = 0
    assert (np.asarray(image).reshape(told.shape) == told).all()


@pytest.mark.parametrize(
    ("shape", "first", "expected"),
    [
        ((2, 5, 6), False, (2, 5, 6, 1)),
        ((2, 5, 6, 3), False, (2, 5, 6, 3)),
        ((2, 3, 5, 6), True, (2, 5, 6, 3)),
        ((2, 1, 5, 6), True, (2, 5, 6, 1)),
    ],
)
def test_layouts_are_brought_to_channels_last(shape, first, expected):
    """Grey without an axis, channels last, channels first."""
    assert normalize_layout(np.zeros(shape), channels_first=first).shape == expected


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 6, 2), (2, 0, 6), (2, 5, 6, 7, 3), (2,)])
def test_what_is_no_picture_is_refused_with_its_shape(shape):
    """The message says what came and what was expected."""
    with pytest.raises(ValueError, match=r"images of shape .*; expected"):
        normalize_layout(np.zeros(shape), channels_first=False)


def test_complex_numbers_are_no_pixels():
    """The message says which type came."""
    with pytest.raises(ValueError, match="complex64"):
        to_bytes(np.zeros((1, 2, 2, 1), np.complex64))
