"""The clipboard of Windows, by PowerShell with Windows Forms; bytes travel as base64. Tested on recorded calls only."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from desktop_agent.flavors import Kinds, Run, text_of

_POWERSHELL: Final = ["powershell", "-NoProfile", "-NonInteractive", "-STA", "-Command"]
_FORMS: Final = (
    "$ErrorActionPreference='Stop';Add-Type -AssemblyName System.Windows.Forms,System.Drawing;"
    "function b64($t){[Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($t))}"
    "function text($b){[Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($b))}"
)
_GET_HTML: Final = _FORMS + "b64([Windows.Forms.Clipboard]::GetText('Html'))"
# text kinds as they are, a picture as PNG, files (CF_HDROP) as their paths
_SAVE: Final = _FORMS + (
    "$d=[Windows.Forms.Clipboard]::GetDataObject();$o=@{};if($d){"
    "foreach($k in 'UnicodeText','HTML Format','Rich Text Format','Csv')"
    "{$v=$d.GetData($k);if($v -is [string]){$o[$k]=b64 $v}}"
    "$i=[Windows.Forms.Clipboard]::GetImage();if($i){$m=New-Object IO.MemoryStream;"
    "$i.Save($m,[Drawing.Imaging.ImageFormat]::Png);$o['PNG']=[Convert]::ToBase64String($m.ToArray())}"
    "$f=@([Windows.Forms.Clipboard]::GetFileDropList());if($f.Count){$o['FileDrop']=b64 ($f -join \"`n\")}}"
    "ConvertTo-Json -Compress $o"
)
_RESTORE: Final = _FORMS + (
    "$j=[Console]::In.ReadToEnd()|ConvertFrom-Json;$d=New-Object Windows.Forms.DataObject;$n=0;"
    "foreach($p in $j.PSObject.Properties){$n++;if($p.Name -eq 'PNG')"
    "{$d.SetImage([Drawing.Image]::FromStream((New-Object IO.MemoryStream(,[Convert]::FromBase64String($p.Value)))))}"
    "elseif($p.Name -eq 'FileDrop'){$l=New-Object Collections.Specialized.StringCollection;"
    '(text $p.Value).Split("`n")|ForEach-Object{[void]$l.Add($_)};$d.SetFileDropList($l)}'
    "else{$d.SetData($p.Name,(text $p.Value))}};"
    "if($n){[Windows.Forms.Clipboard]::SetDataObject($d,$true)}else{[Windows.Forms.Clipboard]::Clear()}"
)
_FILES: Final = _FORMS + 'b64(@([Windows.Forms.Clipboard]::GetFileDropList()) -join "`n")'


class WindowsFlavors:
    """Text, HTML (in the CF_HTML envelope), rich text, tables, pictures, and files as Explorer copies them."""

    def html(self, run: Run) -> str:
        text = text_of(self._get(run, _GET_HTML))
        found = re.search(r"<!--StartFragment-->(.*)<!--EndFragment-->", text, re.DOTALL)
        return found[1] if found else text[max(0, text.find("<")) :]

    def save(self, run: Run) -> Kinds:
        found = json.loads(run([*_POWERSHELL, _SAVE], b"") or b"{}")
        return {name: base64.b64decode(data) for name, data in found.items()}

    def restore(self, run: Run, kinds: Kinds) -> bool:
        packed = {name: base64.b64encode(data).decode() for name, data in kinds.items()}
        return run([*_POWERSHELL, _RESTORE], json.dumps(packed).encode()) is not None

    def files(self, run: Run) -> tuple[Path, ...]:
        return tuple(Path(path) for path in text_of(self._get(run, _FILES)).split("\n") if path)

    def put_files(self, run: Run, paths: Sequence[Path]) -> bool:
        return self.restore(run, {"FileDrop": "\n".join(map(str, paths)).encode()})

    def put_text(self, run: Run, text: str) -> bool:
        return False

    def _get(self, run: Run, script: str) -> bytes:
        return base64.b64decode(run([*_POWERSHELL, script], b"") or b"")
