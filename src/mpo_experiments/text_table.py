"""A table as text: Markdown, LaTeX, CSV."""

import csv
import dataclasses
import io

LATEX_SPECIALS = {
    "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "\\": r"\textbackslash{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TextTable:
    """Cells are text already; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def markdown(self) -> str:
        """A Markdown table under a heading, the caption after it."""
        lines = [self.columns, ("---",) + ("--:",) * (len(self.columns) - 1), *self.rows]
        body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"### {self.title}\n\n{body}\n" + (f"\n{self.caption}\n" if self.caption else "")

    def latex(self) -> str:
        """A booktabs table."""
        lines = [" & ".join(map(_latex, line)) + r" \\" for line in self.rows]
        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{_latex(self.title)}. {_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}",
                r"\toprule",
                " & ".join(map(_latex, self.columns)) + r" \\",
                r"\midrule",
                *lines,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def csv(self) -> str:
        """Comma-separated values, header first."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.rows])
        return out.getvalue()


def _latex(text: str) -> str:
    return "".join(LATEX_SPECIALS.get(character, character) for character in text)


def return_interval_text(value: float, low: float, high: float) -> str:
    """A return and its interval."""
    return f"{return_text(value)} [{return_text(low)}, {return_text(high)}]"


def p_text(p: float) -> str:
    """A p as tables have it."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def return_text(value: float) -> str:
    """A return with the digits that one can read: whole where it is large."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
