"""The argument parser: what is required, its errors, and flags that come from an engine's description."""

from __future__ import annotations

import pytest
from harmovid.cli import arguments, parser
from harmovid.errors import InputError
from harmovid.job import MATTE, EngineInfo, LayerInfo, Option, Preset

ENGINE = EngineInfo(
    name="steady",
    version="3",
    task="deflicker",
    summary="Keeps 100% of the light.",
    target="plate",
    layers=(
        LayerInfo("plate", True, "The frames."),
        LayerInfo("clean_plate", False, "The same without actors."),
        LayerInfo("mask", False, "Where.", MATTE),
        LayerInfo("frames", False, "A name the command uses itself."),
    ),
    presets=(Preset("lamps", "Lamps", "For lamps.", {"limit": 0.5, "local": False}),),
    options=(
        Option("window_size", "int", 9, "Frames looked at", minimum=3, maximum=99, unit="frames"),
        Option("local", "bool", True, "Also correct local flicker"),
        Option("cause", "choice", "mains", "What flickers", choices=("mains", "timelapse")),
        Option("limit", "float", 1.5, "Largest correction", minimum=0.0, unit="stops"),
        Option("label", "str", "", "A name the command uses itself"),
    ),
)
DEFLICKER = ["deflicker", "plate.####.exr", "-o", "out"]


def parse(*words: str, engine: EngineInfo = ENGINE):
    """Parse with the engine's options as flags."""
    return parser.build(engine).parse_args(list(words))


def test_engine_options_become_flags_of_their_own_kind() -> None:
    """Number, switch, choice and text options arrive typed and under the engine's names."""
    args = parse(*DEFLICKER, "--window-size", "11", "--no-local", "--cause", "timelapse", "--limit", "0.5")

    assert arguments.options_of(args) == {
        "window_size": 11,
        "local": False,
        "cause": "timelapse",
        "limit": 0.5,
    }


@pytest.mark.parametrize("frames", ["-5--1", "-5", "-5-3x2", "-12,-7--3,9"])
def test_frames_below_zero_need_no_equals_sign(frames: str) -> None:
    """A range that begins with a minus is a value, as docs/cli.md writes it; flags stay flags."""
    assert parse(*DEFLICKER, "--frames", frames, "--label", "-5:+0.2").frames == frames
    with pytest.raises(InputError, match="--frames: expected one argument"):
        parse(*DEFLICKER, "--frames", "-x")


def test_an_input_that_is_empty_is_not_one_that_is_left_out() -> None:
    """`--mask "$MASK"` without that variable would otherwise be a job without the matte."""
    arguments.refuse_empty(parse(*DEFLICKER))
    with pytest.raises(InputError, match="the input mask is empty"):
        arguments.refuse_empty(parse(*DEFLICKER, "--mask", ""))


def test_an_option_not_given_is_not_sent() -> None:
    """The engine's own defaults hold: an option that was not written does not appear."""
    assert arguments.options_of(parse(*DEFLICKER)) == {}


def test_inputs_come_from_the_engines_description() -> None:
    """Required layers are arguments, the others flags; a name the command uses itself gets a prefix."""
    args = parse(*DEFLICKER, "--clean-plate", "c.####.exr", "--engine-frames", "f.exr", "--frames", "1-3")

    assert args.frames == "1-3"
    assert arguments.layers_of(args) == {
        "plate": "plate.####.exr", "clean_plate": "c.####.exr", "frames": "f.exr",
    }  # fmt: skip


def test_a_preset_stands_under_the_options_that_are_given() -> None:
    """--preset gives the preset's values; an option of the command line wins over it."""
    args = parse(*DEFLICKER, "--preset", "lamps", "--limit", "0.25")

    assert arguments.options_of(args, ENGINE) == {"limit": 0.25, "local": False}


def test_colour_spaces_for_all_and_for_one() -> None:
    """NAME holds for every image that is given, LAYER=NAME wins for its own; mattes and unknown names are refused."""
    words = (
        *DEFLICKER,
        "--mask",
        "m.exr",
        "--clean-plate",
        "c.exr",
        "--colorspace",
        "clean_plate=sRGB - Texture",
    )
    args = parse(*words, "--colorspace", "ACEScg")

    assert arguments.colorspace_of(args, ENGINE) == {"plate": "ACEScg", "clean_plate": "sRGB - Texture"}
    for text, said in (("mask=ACEScg", "no colour space"), ("bg=ACEScg", "plate=NAME")):
        with pytest.raises(InputError, match=said):
            arguments.colorspace_of(parse(*words, "--colorspace", text), ENGINE)


def test_an_engine_option_cannot_take_over_a_flag_of_the_command() -> None:
    """An engine option named like one of the command's flags gets a prefix and both stay usable."""
    args = parse(*DEFLICKER, "--label", "sh010", "--engine-label", "mine")

    assert args.label == "sh010"
    assert arguments.options_of(args) == {"label": "mine"}


def test_options_of_another_task_are_not_offered() -> None:
    """A deflicker engine's options are no flags of harmonize."""
    with pytest.raises(InputError, match="--window-size"):
        parse("harmonize", "fg", "bg", "-o", "out", "--window-size", "3")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["deflicker", "-o", "out"], "PLATE"),
        (["deflicker", "plate"], "--out"),
        (["deflicker", "a", "b", "-o", "out"], "b"),
        (["nonsense"], "nonsense"),
        ([], "COMMAND"),
        ([*DEFLICKER, "--amount", "much"], "much"),
        ([*DEFLICKER, "--window", "3"], "--window"),
        ([*DEFLICKER, "--premultiplied", "--unpremultiplied"], "--unpremultiplied"),
    ],
)
def test_complaints_are_input_errors_that_name_the_word(words: list[str], named: str) -> None:
    """A command line that cannot be used raises InputError naming the word; nothing is printed."""
    with pytest.raises(InputError, match=named):
        parse(*words)


def test_help_of_a_job_lists_ranges_units_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """`deflicker --help` shows the engine's options with range, default and unit; percent signs are safe."""
    with pytest.raises(SystemExit) as end:
        parse("deflicker", "--help")

    text = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0
    assert "Frames looked at (3 to 99, default 9 frames)" in text
    assert "--local, --no-local" in text
    assert "Keeps 100% of the light." in text


def test_early_reading_skips_what_it_does_not_know() -> None:
    """The first stage finds server, key and engine among flags that only a later stage understands."""
    args = parser.early(
        ["deflicker", "--window-size", "3", "p", "--server", "tcp://a:1", "--engine", "x", "-o", "o"]
    )

    assert (args.server, args.key, args.engine, args.help) == ("tcp://a:1", None, "x", False)


def test_check_takes_the_same_command_line() -> None:
    """`check deflicker ...` reads the job's flags, engine options included."""
    args = parse("check", *DEFLICKER, "--window-size", "5", "--mask", "m.exr")

    assert (args.command, args.task) == ("check", "deflicker")
    assert arguments.layers_of(args) == {"plate": "plate.####.exr", "mask": "m.exr"}
    assert arguments.options_of(args) == {"window_size": 5}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--window", "--window-size"),
        ("--windowsize=11", "--window-size"),
        ("--mask-chanel", "--mask-channel"),
    ],
)
def test_a_flag_that_is_almost_one_is_named(word: str, meant: str) -> None:
    """Slips and names of earlier versions are refused with the flag that is meant."""
    with pytest.raises(InputError, match="unrecognized") as caught:
        parse(*DEFLICKER, word, "11")

    assert f"Did you mean {meant}?" in caught.value.fix


def test_a_flag_of_another_command_is_not_proposed_to_its_own_user() -> None:
    """`watch -q` is told that other commands take -q, not asked whether -q is meant."""
    with pytest.raises(InputError, match="unrecognized arguments: -q") as caught:
        parse("watch", "drop", "-q")

    assert "Did you mean" not in caught.value.fix
    assert "Other commands take -q." in caught.value.fix


def test_a_flag_like_no_other_is_only_refused() -> None:
    """Nothing is guessed where nothing is near."""
    with pytest.raises(InputError) as caught:
        parse(*DEFLICKER, "--xyzzy")

    assert "Did you mean" not in caught.value.fix
