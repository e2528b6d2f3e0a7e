"""Render farms: one task runs the job, then the render nodes only read its results.

    write_job(group)                    # in Nuke: a version, a copy of the script, an Open Job Description template
    nuke -t .../harmovid_nuke/submit.py script.nk Harmonize1       # that task, on any machine with a Nuke

A machine that renders the script never sends anything: the node consists of ordinary nodes, and no code of the plugin
runs in a render. The node is set so that a frame without a result is a render error, not an uncorrected frame.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict

import nuke
from harmovid.errors import InputError, OutputError
from harmovid.frames import FrameRange
from harmovid.storage.atomic import write_whole

from harmovid_nuke import node, plan, readback
from harmovid_nuke.graph import RESULT
from harmovid_nuke.record import WAITING, Record

TEMPLATE, VALUES, SCRIPT = "template.json", "parameter_values.json", "script.nk"


def write_job(group: Any) -> str:
    """Write all files for a farm into a new version's folder, and return a sentence that names it.

    The artist's own script is not saved, and its node keeps showing its current result.

    Raises:
        InputError: something is missing.
        OutputError: a file cannot be written.
    """
    node.upgrade(group)
    record = plan.placed(plan.make(group)).save(state=WAITING)
    script = f"{record.folder}/{SCRIPT}"
    on_missing = group["on_missing"].value()
    _expect(group, record)
    try:
        nuke.scriptSaveToTemp(script)
        write_whole(f"{record.folder}/{TEMPLATE}", _json(template(record)))
        write_whole(f"{record.folder}/{VALUES}", _json(values(record, script)))
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{record.folder} cannot be written: {error}.", fix="Check the folder.") from error
    finally:
        with readback.quietly():
            group["on_missing"].setValue(on_missing)
        readback.show(group, record)
    return (
        f"Ready for the farm: submit {record.folder} (Open Job Description), or run its first step by hand."
    )


def _json(data: Dict[str, Any]) -> bytes:
    return (json.dumps(data, indent=2) + "\n").encode("utf-8")


def _expect(group: Any, record: Record) -> None:
    """Set the node to a future result: every frame is treated as present, so a missing one is a render error."""
    readback.show(group, record)
    wanted = FrameRange.parse(record.wanted)
    with readback.quietly():
        group["present"].fromScript(readback.presence(wanted, wanted))
        group["has_result"].setValue(True)
        group["upstream"].setValue(record.upstream)
        group["stale"].setValue(False)
        group["on_missing"].setValue("error")
        group.node(RESULT)["on_error"].setValue("error")
        group["job_data"].setValue(node.packed(record))


def template(record: Record) -> Dict[str, Any]:
    """Return the job template: the job as one task, then the render of the script with a task per frame."""
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "name": f"{record.label} v{record.version:03d}",
        "parameterDefinitions": [
            {"name": "NukeScript", "type": "PATH", "objectType": "FILE", "dataFlow": "INOUT"},
            {
                "name": "Submit",
                "type": "PATH",
                "objectType": "FILE",
                "dataFlow": "IN",
            },
            {"name": "Node", "type": "STRING", "default": record.node},
            {"name": "Frames", "type": "STRING", "default": record.wanted},
            {
                "name": "Nuke",
                "type": "STRING",
                "default": "nuke",
                "description": "The command that starts Nuke.",
            },
        ],
        "steps": [
            {
                "name": "HarmoVid",
                "description": "Renders the inputs and runs the job. One task: blades would each submit it again.",
                "script": _script(["-t", "{{Param.Submit}}", "{{Param.NukeScript}}", "{{Param.Node}}"]),
            },
            {
                "name": "Render",
                "description": "Renders the script's Writes. Results are only read.",
                "dependencies": [{"dependsOn": "HarmoVid"}],
                "parameterSpace": {
                    "taskParameterDefinitions": [
                        {"name": "Frame", "type": "INT", "range": "{{Param.Frames}}"}
                    ]
                },
                "script": _script(["-x", "-F", "{{Task.Param.Frame}}", "{{Param.NukeScript}}"]),
            },
        ],
    }


def _script(arguments: Any) -> Dict[str, Any]:
    return {"actions": {"onRun": {"command": "{{Param.Nuke}}", "args": list(arguments)}}}


def values(record: Record, script: str) -> Dict[str, Any]:
    """Return the template's parameters for this job."""
    submit = os.path.join(os.path.dirname(os.path.abspath(__file__)), "submit.py").replace("\\", "/")
    return {"NukeScript": script, "Submit": submit, "Node": record.node, "Frames": record.wanted}


def run(script: str, name: str) -> Record:
    """Run the job on a farm: open the script, run the job that its node expects, return its record.

    Raises:
        HarmoVidError: it failed; frames that have arrived are kept, and running it again resumes.
    """
    from harmovid_nuke import jobs

    nuke.scriptOpen(script)
    group = node.find(name)
    found = node.record_of(group)
    if found is None:
        raise InputError(f"{name} waits for no job.", fix="Send it to the farm from Nuke.")
    return jobs.wait(jobs.go_on(group, found)).record if found.missing() else found
