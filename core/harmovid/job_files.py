"""A prepared job on files: its inputs, its output, and its options, all checked.

    job = JobFiles.prepare(client.engine("harmonize"), {"fg": "fg.####.exr", "bg": "bg/"}, out="out/fg.####.exr",
                           frames="1001-1100", options={"exposure": 0.5}, output="comp")
    for warning in job.warnings: print(warning)
    handle = client.start(job)

The same arguments on the same files mean the same job: run again after an interruption, it continues where it stopped.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import AbstractSet, Any, List, Mapping, Optional, Tuple

from harmovid.context import Context
from harmovid.errors import InputError, OutputError
from harmovid.file_plan import LISTED, Choice, Colorspace, FilePlan, Frames, Roots, holes
from harmovid.frames import FrameRange
from harmovid.job import (
    BACKGROUND,
    COMP,
    DONE,
    FOREGROUND_MATTE,
    IMAGE,
    OUTPUT_MODES,
    EngineInfo,
    JobSpec,
    OutputSpec,
    new_job_id,
)
from harmovid.storage.checksums import crc32
from harmovid.storage.claims import Claim
from harmovid.storage.files import DirectorySink, DirectorySource
from harmovid.storage.journal import Journal, entries_of, job_digest, journal_path
from harmovid.transport.wire import LABEL_BYTES, clip_text


class JobFiles:
    """A prepared job; see `prepare`. It can run once; to run it again, prepare it again.

    Attributes:
        engine: the engine's description.
        plan: inputs, results and frames as patterns and ranges.
        source: reads the inputs.
        warnings: sentences for the user before the start: frames without a file, results that will be replaced. After
            the first use of `sink` also which results are made again.
    """

    def __init__(
        self,
        engine: EngineInfo,
        plan: FilePlan,
        spec: JobSpec,
        overwrite: bool,
        own: AbstractSet[str] = frozenset(),
    ) -> None:
        """Use `prepare`."""
        self.engine, self.plan = engine, plan
        self.source = DirectorySource(plan.layers)
        self._spec = spec
        self._overwrite = overwrite
        self._own = own
        self._digest = job_digest(spec, self.source, plan.out.text)
        self._sink: Optional[DirectorySink] = None
        self._journal: Optional[Journal] = None
        self.resumed = FrameRange()
        self.warnings: Tuple[str, ...] = tuple(self._warn())

    @classmethod
    def prepare(
        cls,
        engine: EngineInfo,
        inputs: Mapping[str, str],
        out: str,
        *,
        frames: Frames = None,
        options: Optional[Mapping[str, Any]] = None,
        output: str = "fg",
        strength: float = 1.0,
        field: bool = False,
        colorspace: Colorspace = "",
        premultiplied: bool = True,
        overwrite: bool = False,
        label: str = "",
        roots: Roots = (),
        exr_layers: Choice = "",
        matte_channels: Choice = "",
        own: AbstractSet[str] = frozenset(),
        handles: Optional[int] = None,
        context: Frames = None,
        shot: Frames = None,
    ) -> JobFiles:
        """Check everything about a job that can be checked without a server, and return it. Writes nothing.

        Args:
            engine: from `Client.engine`.
            inputs: layer to a pattern ("fg.####.exr", "fg.%04d.exr"), one file for all frames, or a folder.
            out: the results' pattern, or a folder.
            frames: "1001-1100x2,1150", or None for all frames of the first image that is a sequence.
            options: engine options by name; others have the engine's defaults.
            output: "fg" for the changed layer, "comp" for that layer over the background, "proxy" for the network's
                own small picture, enlarged (only engines that have one).
            strength: how much of the change is applied, 0 to 2.
            field: add the lighting field as channels `harmovid.R/G/B`, in stops.
            colorspace: OpenColorIO name of all images, or layer to name; default as stated in the files.
            premultiplied: whether colours are multiplied by alpha.
            overwrite: replace existing files that do not belong to this job.
            label: the job's name in lists; default from the engine's and the results' names.
            roots: `client.roots`: local folders that the server reads itself.
            exr_layers: the layer, part or view that is the picture, of all images or by layer; default the beauty.
            matte_channels: the channel that is the matte, of all mattes or by layer; default by name and content.
            own: absolute paths of results of an earlier run of the caller; these may be replaced.
            handles: number of frames on either side that the engine also sees, where they exist, so that a part of a
                shot fits the rest; they get no results. None: as many as the engine asks for.
            context: a range of further such frames.
            shot: all frames of the shot, for hosts whose files hold a part of it; default the frames that have files.

        Raises:
            InputError: an input, range or pattern (`PatternError`) or an option (`OptionError`) cannot be used.
            OutputError: a result would replace an input or an existing file.
        """
        wanted = engine.handles_for(options or {}) if handles is None else handles
        plan = FilePlan.make(
            engine.layers,
            inputs,
            out,
            frames,
            colorspace,
            roots,
            exr_layers,
            matte_channels,
            Context(wanted, engine.handle_step, context),
        ).shown_too(engine.frame_apart(options or {}))
        unused = bool(plan.context) and not (engine.handle_frames or engine.reference_anywhere)
        if unused:
            plan = replace(plan, context=FrameRange())
        checked = engine.check_options(options or {})
        whole = _shot(plan, shot)
        engine.check_frames(checked, plan.seen, whole)
        engine.check_named_frames(checked, whole)
        if output in OUTPUT_MODES and output not in engine.output_modes:
            raise InputError(
                f"engine {engine.name} has no "
                + ("background to put the result over." if output == COMP else "picture of its own."),
                fix="Ask for the output " + " or ".join(engine.output_modes) + ".",
            )
        name = plan.out.text[len(plan.out.folder) :]
        spec = JobSpec(
            job_id=new_job_id(),
            engine=engine.name,
            frames=str(plan.frames),
            layers=tuple(plan.layers),
            options=checked,
            colorspace=plan.colorspace,
            output=OutputSpec(output, strength, field, premultiplied),
            shared=plan.shared,
            label=clip_text(label or f"{engine.name} {name}", LABEL_BYTES),
            exr_layers=plan.exr_layers,
            matte_channels=plan.matte_channels,
            context=str(plan.context),
        )
        job = cls(engine, plan, spec, overwrite, own)
        missing = FrameRange() if frames else holes(plan.frames)
        if missing:
            label = job._label(plan.leader)
            said = f"{label}: the sequence has gaps: frames {missing} have no file, and get no results."
            job.warnings = (*job.warnings, said)
        for option, spans in engine.unused_frames(checked, plan.frames).items():
            said = f"option {option}: {', '.join(spans)} is not among the frames that are made, and changes nothing."
            job.warnings = (*job.warnings, said)
        if not premultiplied and not any(layer.name == FOREGROUND_MATTE for layer in engine.layers):
            said = f"the engine {engine.name} takes no notice of alpha: unpremultiplied changes nothing."
            job.warnings = (*job.warnings, said)
        if unused:
            said = f"the engine {engine.name} has no use for handles, or its server cannot show it any: left out."
            job.warnings = (*job.warnings, said)
        return job

    @property
    def frames(self) -> FrameRange:
        """The job's frames."""
        return self.plan.frames

    @property
    def spec(self) -> JobSpec:
        """The specification sent to the server. Its `job_id` is final after the first use of `sink`."""
        return self._spec

    @property
    def journal_path(self) -> str:
        """The path of the journal, which is kept beside the results while the job runs."""
        return journal_path(self.plan.out.folder, self._digest)

    def recorded(self) -> FrameRange:
        """Return the frames whose results an interrupted run of this job has written, as far as they are unchanged."""
        entries = entries_of(self.journal_path).items()
        return FrameRange(n for n, entry in entries if entry.is_still(self.plan.out.path(n)))

    def _foreign(self, frames: FrameRange) -> FrameRange:
        """Return the frames whose existing results do not belong to the caller."""
        own = self._own
        return FrameRange(n for n in frames if os.path.abspath(self.plan.out.path(n)) not in own)

    @property
    def sink(self) -> DirectorySink:
        """Writes the results; the first use creates the folder and locks the job's journal.

        Raises:
            OutputError: results of other jobs are in the way, another run of the same job is active, or the folder
                cannot be written.
        """
        if self._sink is None:
            journal = self._open_journal()
            try:
                self._sink = DirectorySink(
                    self.plan.out, self.frames, self.source, journal, self._overwrite, self._replaceable()
                )
            except BaseException:
                journal.close()
                raise
            self._journal = journal
            self._spec = replace(self._spec, job_id=journal.job_id)
        return self._sink

    def close(self, state: str = "") -> None:
        """Close the journal of a job that does not run, or not any more; may be called again.

        Args:
            state: the job's final state; the journal of a job that ended without results is removed.
        """
        if self._journal is not None:
            self._journal.finish(state)

    def _warn(self) -> List[str]:
        """Return the warnings; raise if existing results are in the way."""
        said: List[str] = []
        for layer, missing in self.plan.gaps().items():
            said.append(
                f"{self._label(layer)}: {len(missing)} of {len(self.plan.seen)} frames have no file: {missing}."
            )
        said += [
            f"{self._label(layer)}: these are the files of {self._label(BACKGROUND)}."
            for layer in self._copies_of_background()
        ]
        handles = self.engine.handles_for(self._spec.options)
        if self.plan.beside(handles):
            said.append(
                f"frames {self.frames} are part of a longer sequence, {self.plan.sequence()}, and may not fit the "
                f"rest: let the engine see {handles} frames to either side as well (--handles {handles})."
            )
        for layer, (taken, left_out) in self.plan.odd_names().items():
            for names, what in ((taken, "taken although"), (left_out, "left out, as")):
                if names:
                    said.append(
                        f"{self._label(layer)}: {len(names)} files are {what} their padding, sign or letters do not "
                        f"fit {self.plan.layers[layer].text}: {_some(names)}."
                    )
        for layer, names in self.plan.left_in_folders().items():
            pattern = self.plan.layers[layer]
            said.append(
                f"{self._label(layer)}: the sequence {pattern.text[len(pattern.folder) :]} is taken, and {len(names)} "
                f"other EXR files of the folder {pattern.folder} are left out: {_some(names)}."
            )
        replaced = FrameRange(set(self.plan.existing()).difference(self.recorded()))
        foreign = self._foreign(replaced)
        if foreign and not self._overwrite:
            raise self._in_the_way(foreign)
        if replaced:
            said.append(f"{len(replaced)} results are there already and will be replaced: frames {replaced}.")
        return said

    def _copies_of_background(self) -> List[str]:
        """Return the images that are the same pictures as the background: most likely a mistake."""
        if BACKGROUND not in self.plan.layers:
            return []
        images = (e.name for e in self.engine.layers if e.kind == IMAGE and e.name != BACKGROUND)
        return [
            name
            for name in images
            if name in self.plan.layers and self._picture(name) == self._picture(BACKGROUND)
        ]

    def _picture(self, layer: str) -> Tuple[str, str]:
        return os.path.abspath(self.plan.layers[layer].text), self.plan.exr_layers.get(layer, "")

    def _replaceable(self) -> FrameRange:
        existing = self.plan.existing()
        foreign = self._foreign(existing)
        return FrameRange(frame for frame in existing if frame not in foreign)

    def _label(self, layer: str) -> str:
        return next(info.label for info in self.engine.layers if info.name == layer)

    def _open_journal(self) -> Journal:
        """Open the job's journal; refuse existing results of other jobs, unless they may be replaced."""
        plan = self.plan
        is_new = not os.path.exists(self.journal_path)
        sent = crc32(self._spec.context.encode(), self.source.fingerprint(plan.seen))
        claim = Claim(plan.out, plan.frames)
        journal = Journal.open(plan.out.folder, self._digest, plan.out.path, claim, self.source, sent)
        written = journal.begin(journal.job_id)
        self.resumed = FrameRange(written)
        if journal.outdated:
            changed = FrameRange(journal.outdated)
            said = f"the inputs of {len(changed)} results have changed: frames {changed} are made again."
            self.warnings = (*self.warnings, said)
        if self.resumed and journal.is_changed and self.engine.handles_for(self._spec.options):
            said = (
                f"{len(self.resumed)} results stay, frames {self.resumed}, although inputs that the engine sees beside "
                "them have changed since: they may not quite fit those that are made now. To make them again as well, "
                "delete them and run the same job once more."
            )
            self.warnings = (*self.warnings, said)
        own = {*written, *journal.outdated}
        foreign = self._foreign(FrameRange(frame for frame in plan.existing() if frame not in own))
        if not foreign or self._overwrite:
            return journal
        if is_new:
            journal.finish(DONE)  # otherwise the journal would remain
        else:
            journal.close()
        raise self._in_the_way(foreign)

    def _in_the_way(self, frames: FrameRange) -> OutputError:
        others = FrameRange(set(self.frames).difference(frames))
        instead = f"make the others alone (--frames {others}), " if others else ""
        return OutputError(
            f"{len(frames)} results are there already: frames {frames} of {self.plan.out.text}.",
            fix=f"Allow them to be replaced (--overwrite), {instead}or write to another folder.",
        )


def _some(names: List[str]) -> str:
    """Return names as text, the first ones of many."""
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")


def _shot(plan: FilePlan, shot: Frames) -> FrameRange:
    """Return the frames of the whole shot, as far as they are known."""
    named = FrameRange.parse(shot) if isinstance(shot, str) and shot else shot or ()
    return FrameRange([*plan.frames, *(named or plan.sequence())])
