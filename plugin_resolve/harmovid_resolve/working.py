"""The colour space of a clip's pixels in Fusion and under the grade, and the formulas of such spaces.

    name = space_of_grade(colour)       # OpenColorIO name; the pixels' own in a project without colour management
    curve = curve_of(name)              # its primaries, and the expressions that decode and encode it
    matrix(curve.primaries, others)     # from its light to that of other primaries

Sources: IEC 61966-2-1 (sRGB), Rec. ITU-R BT.709-6 and BT.2020-2, SMPTE EG 432-1 (P3) and ST 2065-1 (AP0), AMPAS
S-2014-004 (AP1) and S-2016-001 (ACEScct), Blackmagic Design, "DaVinci Resolve 17 Wide Gamut Intermediate" (2021);
Bradford adaptation, as in harmovid.pixels. Expressions are those of Fusion's Custom Tool, with `{0}` for the value;
`ln` is the natural logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Sequence, Tuple

from harmovid_resolve.colour import ACES, COMBINED, MANAGED
from harmovid_resolve.contract import Colour
from harmovid_resolve.errors import HostError

__all__ = ["IDENTITY", "Curve", "Primaries", "check_formulas", "curve_of", "matrix", "space_of_grade"]

LINEAR = "{0}"
LN_2 = "0.6931471805599453"

Primaries = Tuple[float, ...]
Matrix = Sequence[Sequence[float]]
IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

_D65, _ACES_WHITE = (0.3127, 0.3290), (0.32168, 0.33767)
FILE: Primaries = ()
"""Those of the files, whatever they are."""
REC709: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
REC2020: Primaries = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65)
P3: Primaries = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65)
AP0: Primaries = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, *_ACES_WHITE)
AP1: Primaries = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, *_ACES_WHITE)
DAVINCI: Primaries = (0.8000, 0.3130, 0.1682, 0.9877, 0.0790, -0.1155, *_D65)
BRADFORD: Matrix = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
CAT02: Matrix = [[0.7328, 0.4296, -0.1624], [-0.7036, 1.6975, 0.0061], [0.0030, 0.0136, 0.9834]]
"""CIECAM02's (CIE 159:2004): with it OpenColorIO goes from DaVinci Wide Gamut to ACES, with Bradford from Rec.709."""
SAME = 1e-5


@dataclass(frozen=True)
class Curve:
    """Conversion of one colour space to linear light and back.

    Attributes:
        primaries: red, green, blue and white, as x and y each; `FILE` for the file's own.
        decode, encode: expressions for one channel; both `LINEAR` if the space is linear.
        cones: the cone response by which whites are adapted to other primaries.
    """

    primaries: Primaries
    decode: str = LINEAR
    encode: str = LINEAR
    cones: Matrix = field(default_factory=lambda: BRADFORD)


def _power(exponent: float) -> Curve:
    return Curve(
        REC709,
        f"if({{0}} > 0, pow(max({{0}}, 0), {exponent:g}), {{0}})",
        f"if({{0}} > 0, pow(max({{0}}, 0), 1 / {exponent:g}), {{0}})",
    )


def _acescct() -> Curve:
    return Curve(
        AP1,
        "if({0} > 0.155251141552511, pow(2, {0} * 17.52 - 9.72), ({0} - 0.0729055341958355) / 10.5402377416545)",
        f"if({{0}} > 0.0078125, (ln(max({{0}}, 0.0078125)) / {LN_2} + 9.72) / 17.52, "
        "10.5402377416545 * {0} + 0.0729055341958355)",
    )


def _intermediate() -> Curve:
    return Curve(
        DAVINCI,
        "if({0} > 0.02740668, pow(2, {0} / 0.07329248 - 7) - 0.0075, {0} / 10.44426855)",
        f"if({{0}} > 0.00262409, (ln(max({{0}}, 0.00262409) + 0.0075) / {LN_2} + 7) * 0.07329248, {{0}} * 10.44426855)",
        cones=CAT02,
    )


def _with_linear_toe(exponent: float, offset: float) -> Curve:
    """Return a power curve with a smoothly joined linear piece near black, as OpenColorIO computes it (moncurve).

    The standards print the break point and the slope rounded.
    """
    code = offset / (exponent - 1)
    light = (offset * exponent / ((exponent - 1) * (1 + offset))) ** exponent
    slope = light / code
    decode = f"pow((max({{0}}, {code:.12g}) + {offset}) / {1 + offset}, {exponent:.12g})"
    encode = f"{1 + offset} * pow(max({{0}}, {light:.12g}), 1 / {exponent:.12g}) - {offset}"
    return Curve(
        REC709,
        f"if({{0}} > {code:.12g}, {decode}, {{0}} * {slope:.12g})",
        f"if({{0}} > {light:.12g}, {encode}, {{0}} / {slope:.12g})",
    )


CURVES: Dict[str, Curve] = {
    "": Curve(FILE),
    "ACES2065-1": Curve(AP0),
    "ACEScg": Curve(AP1),
    "ACEScct": _acescct(),
    "davinci_intermediate_widegamut": _intermediate(),
    "lin_davinci_widegamut": Curve(DAVINCI),
    "lin_rec709": Curve(REC709),
    "lin_rec2020": Curve(REC2020),
    "lin_p3d65": Curve(P3),
    "g22_rec709": _power(2.2),
    "g24_rec709": _power(2.4),
    "srgb_texture": _with_linear_toe(2.4, 0.055),
    "camera_rec709": _with_linear_toe(1 / 0.45, 0.099),
}
"""By the names that `colour` gives."""


def check_formulas(colour: Colour) -> None:
    """Check whether there are formulas for the colour space in which Fusion sees a clip.

    Raises:
        HostError: there are none.
    """
    curve_of(space_of_grade(colour))


def curve_of(space: str) -> Curve:
    """Return the formulas of a colour space.

    Raises:
        HostError: there are none here.
    """
    if space not in CURVES:
        raise HostError(
            f"there is no formula for {space} in a Fusion composition.",
            fix="Choose the output frames instead, or work in one of: "
            + ", ".join(filter(None, CURVES))
            + ".",
        )
    return CURVES[space]


def space_of_grade(colour: Colour) -> str:
    """Return the OpenColorIO name of the colour space in which Fusion and the grade see a clip; "" is linear light.

    Without colour management that is the file's own; with it, the project's timeline space.

    Raises:
        HostError: the server does not know the project's timeline space.
    """
    if colour.science in ACES:
        return "ACEScct" if colour.science == "acescct" else "ACEScc"
    if colour.science not in MANAGED:
        return colour.space
    name = COMBINED.get(colour.timeline.strip().lower(), "")
    if not name:
        raise HostError(
            f"the server does not know the timeline's colour space {colour.timeline or 'without a name'}.",
            fix="Choose the output frames instead.",
        )
    return name


def matrix(source: Primaries, target: Primaries, cones: Matrix = BRADFORD) -> Matrix:
    """Return the matrix from linear light in some primaries to that in others; whites are adapted.

    It is the identity if both are the same, or one is `FILE`.
    """
    if not source or not target or all(abs(a - b) < SAME for a, b in zip(source, target)):
        return IDENTITY
    into, out_of = _to_xyz(target), _to_xyz(source)
    white = [_times(each, [1.0, 1.0, 1.0]) for each in (out_of, into)]
    seen = [_times(cones, each) for each in white]
    scale = [[seen[1][i] / seen[0][i] if i == j else 0.0 for j in range(3)] for i in range(3)]
    adapted = _product(_inverse(cones), _product(scale, cones))
    return _product(_inverse(into), _product(adapted, out_of))


def _to_xyz(primaries: Primaries) -> Matrix:
    """Return the matrix from RGB to CIE XYZ, with Y = 1 for white (SMPTE RP 177-1993)."""
    x, y = primaries[0::2], primaries[1::2]
    columns = [[x[i] for i in range(3)], [y[i] for i in range(3)], [1 - x[i] - y[i] for i in range(3)]]
    white = [x[3] / y[3], 1.0, (1 - x[3] - y[3]) / y[3]]
    amounts = _times(_inverse(columns), white)
    return [[columns[row][i] * amounts[i] for i in range(3)] for row in range(3)]


def _times(matrix_: Matrix, vector: Sequence[float]) -> List[float]:
    return [sum(matrix_[row][i] * vector[i] for i in range(3)) for row in range(3)]


def _product(one: Matrix, other: Matrix) -> Matrix:
    return [[sum(one[r][k] * other[k][c] for k in range(3)) for c in range(3)] for r in range(3)]


def _inverse(m: Matrix) -> Matrix:
    """Return the inverse by cofactors."""
    cofactors = [
        [
            m[(c + 1) % 3][(r + 1) % 3] * m[(c + 2) % 3][(r + 2) % 3]
            - m[(c + 1) % 3][(r + 2) % 3] * m[(c + 2) % 3][(r + 1) % 3]
            for c in range(3)
        ]
        for r in range(3)
    ]
    determinant = sum(m[0][i] * cofactors[i][0] for i in range(3))
    return [[each / determinant for each in row] for row in cofactors]
