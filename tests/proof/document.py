"""docs/proof.md, made of the results of tests/proof/run. Every figure in it comes from them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

CAUSES = {
    "refused": "refused",
    "reset": "closed without an answer",
    "cutShort": "answer cut short",
    "timeOut": "no answer in time",
    "errorStatus": "error status",
}
# Rows of docs/real-cluster.md: the row here and the run of it that has the same hook.
CLUSTER = {
    "traffic-term": {
        "no hook": ("nginx", "nginx:1.15", "asWritten"),
        "nginx -s quit by hand": ("nginx, hook of its own: nginx -s quit alone", "nginx:1.15", "asWritten"),
        "prestop": ("nginx", "nginx:1.15", "asInjected"),
    },
    "traffic-quit": {
        "no hook": ("nginx", "nginx:1.27", "asWritten"),
        "prestop": ("nginx", "nginx:1.27", "asInjected"),
    },
    "traffic-naive": {
        "no hook": ("Go net/http, without Shutdown", "gcr.io/distroless/static:nonroot", "asWritten"),
        "prestop": ("Go net/http, without Shutdown", "gcr.io/distroless/static:nonroot", "asInjected"),
    },
}
CLIENTS = {"newConnection": "new", "keptAlive": "kept", "long": "long"}


@dataclass
class Row:
    """One rehearsal and what applications.toml says of it."""

    name: str
    program: str
    why: str
    note: str
    result: dict

    @classmethod
    def read(cls, row: dict, file: Path):
        if not file.exists():
            raise SystemExit(f"{row['name']}: not rehearsed yet ({row['manifest']}, {row['start']})")
        why, note = (" ".join(row.get(key, "").split()) for key in ("why", "note"))
        return cls(row["name"], row["version"], why, note, json.loads(file.read_text()))

    @property
    def report(self):
        return self.result["report"]

    @property
    def runs(self):
        """One where prestop changes nothing: it stands as both in the report."""
        runs = [("as written", self.report["asWritten"]), ("as injected", self.report["asInjected"])]
        return runs[:1] if self.report["unchanged"] else runs

    @property
    def title(self):
        return f"{self.name} (`{self.report['image']}`)"

    @property
    def disturbed(self):
        """The machine was too busy for the load generator itself, so the row has to be run again."""
        return any(run["mostLateSeconds"] > 1 for _, run in self.runs)

    @property
    def signal(self):
        return self.report["stopSignal"]["name"]

    @property
    def dropped_as_injected(self):
        return self.report["asInjected"]["requests"]["dropped"]

    def summary(self):
        """For the terminal."""
        counts = [(words, run["requests"]) for words, run in self.runs]
        return "; ".join(f"{words} {count['dropped']} of {count['sent']}" for words, count in counts)

    def seconds(self, run):
        return f"{run['rolloutSeconds']:.0f} s"


def document(rows, long_seconds):
    return TEXT.format(
        table="\n".join(overview(row) for row in rows),
        remarks="\n".join(f"- **{row.title}**: {row.note}." for row in rows if row.note),
        remaining=remaining(rows),
        dropped_by_client=dropped_by_client(rows),
        causes="\n".join(line for row in rows for line in causes(row)),
        versions="\n".join(f"| {row.title} | {version(row)} |" for row in rows),
        command=command_line(rows[0]),
        machine=machine(rows),
        sent=number(min(run["requests"]["sent"] for row in rows for _, run in row.runs)),
        total=number(sum(run["requests"]["sent"] for row in rows for _, run in row.runs)),
        rows=len(rows),
        still_disturbed=still_disturbed(rows),
        beside=beside_a_cluster(rows),
        without=sum(1 for row in rows if not row.dropped_as_injected),
        with_some=sum(1 for row in rows if row.dropped_as_injected),
        rate=rows[0].report["load"]["ratePerSecond"],
        long_seconds=long_seconds,
        timeout=f"{rows[0].report['load']['timeoutSeconds']:g}",
        least=f"{rows[0].report['endpointDelaySeconds']['least']:g}",
        most=f"{rows[0].report['endpointDelaySeconds']['most']:g}",
    )


def dropped_by_client(rows):
    """Which clients still lost requests where something was injected."""
    injected = [row.report["asInjected"]["byClient"] for row in rows if not row.report["unchanged"]]
    dropped = {client: sum(of[client]["dropped"] for of in injected if client in of) for client in CLIENTS}
    words = ", ".join(f"{number(count)} {CLIENTS[client]}" for client, count in dropped.items())
    return f"Where a hook was injected, {number(sum(dropped.values()))} requests were dropped in all: {words}"


def beside_a_cluster(rows):
    """The same servers here and in docs/real-cluster.md, by its tables."""
    page = (Path(__file__).parents[2] / "docs/real-cluster.md").read_text()
    lines = []
    for section, row_of in CLUSTER.items():
        table = re.search(rf"<!-- begin {section} -->(.*?)<!-- end {section} -->", page, re.S).group(1)
        for line in table.strip().splitlines()[2:]:
            cells = [cell.strip(" *`") for cell in line.strip("|").split("|")]
            what, streams = cells[0].replace("`", ""), [cell.split(" / ") for cell in cells[3:7]]
            name, image, run = row_of[what]
            row = next(row for row in rows if row.name == name and row.report["image"] == image)
            here = row.report[run]["byClient"]
            short = [sum(here[client][count] for client in ("newConnection", "keptAlive")) for count in ("dropped", "sent")]
            there = [sum(int(stream[place]) for stream in streams[:3]) for place in (0, 1)]
            same = "yes" if (short[0] > 0) == (there[0] > 0) else "**no**"
            long_here = (here["long"]["dropped"], here["long"]["sent"])
            cells = [f"{name} (`{image}`)", what, *map(share, (short, there)), same, share(long_here), share(streams[3])]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def share(pair):
    dropped, sent = map(int, pair)
    return f"{number(dropped)} of {number(sent)}"


def overview(row):
    written, injected = row.report["asWritten"], row.report["asInjected"]
    hook = "none: its own hook is not changed" if row.report["unchanged"] else injected["hookWords"]
    return (
        f"| {row.name} | `{row.report['image']}` | {row.signal} | {hook} | {of_sent(written)} | {of_sent(injected)} "
        f"| {row.seconds(written)} | {row.seconds(injected)} |"
    )


def remaining(rows):
    """Why requests are still dropped, row by row."""
    lines = []
    for row in rows:
        if row.dropped_as_injected:
            why = row.why or "not explained yet"
            lines.append(f"- **{row.title}, {of_sent(row.report['asInjected'])}**: {why}.")
    return "\n".join(lines) or "Nowhere."


def causes(row):
    for words, run in row.runs:
        requests = run["requests"]
        cells = [f"{row.title}, {words}", number(requests["dropped"])]
        cells += [number(run["droppedByCause"][cause]) for cause in CAUSES]
        clients = run["byClient"]
        cells.append(", ".join(f"{clients[code]['dropped']} {word}" for code, word in CLIENTS.items() if code in clients))
        cells.append(number(requests["droppedWithoutRetry"]))
        cells += [f"{run['answersSeconds']['slowest']:.1f} s", f"{run['mostLateSeconds'] * 1000:.0f} ms"]
        yield "| " + " | ".join(cells) + " |"


def command_line(row):
    """The command of a row, with the row's own places named."""
    words = ["MANIFEST" if word == row.result["command"][3] else word for word in row.result["command"]]
    return " ".join([*words[:-1], "START"])


def version(row):
    """The program and the first of what it prints that looks like a version."""
    found = re.search(r"\d+\.\d+[\w.+~-]*", row.result["version"])
    return f"{row.program} {found[0] if found else row.result['version']}"


def machine(rows):
    """The machine, and how busy it was."""
    machines = {row.result["machine"] for row in rows}
    dates = sorted({row.result["date"] for row in rows})
    loads = sorted(row.result["load_average"] for row in rows)
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"{days}, {' and '.join(sorted(machines))}; load average {loads[0]:.0f} to {loads[-1]:.0f}"


def still_disturbed(rows):
    names = ", ".join(row.title for row in rows if row.disturbed)
    if not names:
        return "No row was late again."
    return f"More than a second late in these figures too: {names}. Their counts as written and their times depend on the machine as much as on the application."


def of_sent(run):
    requests = run["requests"]
    dropped = requests["dropped"]
    return f"{'**0**' if dropped == 0 else number(dropped)} of {number(requests['sent'])}"


def number(count):
    return f"{count:,}"


TEXT = (Path(__file__).parent / "proof.md.in").read_text()
