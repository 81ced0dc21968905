"""The style of the report's page: light and dark, print, 360 to 1,440 px."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--page:#f4f5f2;--card:#fff;--ink:#171a1c;--soft:#5b6369;--line:#e1e3de;--track:#eceeea;
--now:#1f6fb5;--before:#c9d2d9;--good:#177245;--bad:#b3261e;--warn:#9a5b00;--warnpage:#fff4de}
@media(prefers-color-scheme:dark){:root{--page:#101214;--card:#191c1f;--ink:#eceeed;--soft:#a2abb1;--line:#2c3135;
--track:#262b2f;--now:#5a9ef0;--before:#465059;--good:#4cc38a;--bad:#ff8078;--warn:#f0b860;--warnpage:#2a2214}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 56px}h1{font-size:25px;line-height:1.25;margin:0}
h2{font-size:16px;line-height:1.35;margin:0 0 4px}h3{font-size:13px;margin:18px 0 2px;color:var(--soft)}p{margin:0}
.soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
header{margin-bottom:20px}.lead{font-size:17px;line-height:1.5;margin-top:10px;max-width:72ch}
.notice{background:var(--warnpage);border-left:3px solid var(--warn);padding:8px 14px;margin-top:12px;border-radius:4px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px;margin:0 0 16px;
min-width:0}
.sub{font-size:13.5px;color:var(--soft);margin-bottom:12px}
.tiles{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:12px;margin-bottom:16px}
.tiles .card{padding:14px 16px;margin:0;display:flex;flex-direction:column}
.tiles b{font-size:24px;line-height:1.25;font-variant-numeric:tabular-nums;white-space:nowrap;letter-spacing:-.01em}
.tiles b small{font-size:13px;font-weight:400;letter-spacing:0;color:var(--soft)}.tiles span{font-size:13px}
.tiles i{font-style:normal;font-size:13px;margin-top:4px}
.tiles .loss b{color:var(--bad)}
@media(max-width:1020px){.tiles{grid-template-columns:repeat(3,minmax(0,1fr))}}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr));gap:0 16px;align-items:stretch}
.flow{columns:2 460px;column-gap:16px}.flow .card{break-inside:avoid}.card .two{gap:18px 36px}
.advice{margin-bottom:10px;font-weight:600}
.legend{display:flex;gap:2px 18px;flex-wrap:wrap;font-size:13px;margin-bottom:10px}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.now{fill:var(--now);background:var(--now)}.before{fill:var(--before);background:var(--before)}
.lost{fill:var(--bad);background:var(--bad)}.grid{stroke:var(--line);stroke-width:1}
.chart{position:relative;padding:18px 0 22px 46px}
.plot{position:relative;height:170px}.plot svg{display:block;width:100%;height:100%;overflow:visible}
.plot span{position:absolute;font-size:12px;line-height:1;color:var(--soft);white-space:nowrap;
font-variant-numeric:tabular-nums}
.plot .y{right:calc(100% + 8px);transform:translateY(50%)}.plot .x{top:calc(100% + 8px);transform:translateX(-50%)}
.plot .v{transform:translate(-50%,-5px);color:var(--ink);font-weight:600}.plot em{font-style:normal}
.heat{display:grid;grid-template-columns:auto 1fr;gap:4px 10px;font-size:12px;color:var(--soft)}
.heat .days{display:grid;grid-auto-rows:1fr;align-items:center;white-space:nowrap}
.heat svg{display:block;width:100%;height:196px}.heat .hours{grid-column:2;display:grid;
grid-template-columns:repeat(8,1fr)}
.none{fill:var(--track)}.top{fill:none;stroke:var(--ink);stroke-width:2}
table{border-collapse:collapse;width:100%;font-size:14px}.wide{overflow-x:auto}
th{text-align:left;font-weight:600;font-size:12.5px;color:var(--soft);vertical-align:bottom}
th,td{padding:7px 14px 7px 0;border-bottom:1px solid var(--line)}
tbody tr:last-child td{border-bottom:0}th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}.bar{width:26%}
td svg{display:block;width:100%;min-width:56px;height:10px}.track{fill:var(--track)}
td small{display:block;color:var(--soft);font-size:12.5px}
details{margin-top:10px}summary{cursor:pointer;font-size:13.5px;color:var(--soft)}
footer{font-size:13px;color:var(--soft);max-width:80ch}
@media(min-width:1021px){.heat svg{height:270px}}
@media(max-width:600px){main{padding:18px 12px 40px}.card{padding:14px}.tiles{grid-template-columns:1fr 1fr;gap:10px}
.tiles b{font-size:20px}.lead{font-size:16px}
.opt,.plot em{display:none}th,td{padding-right:7px;font-size:13px}
th{font-size:11.5px}.plot span{font-size:11px}
h1{font-size:21px}.chart{padding-left:38px}.heat svg{height:150px}.heat{gap:4px 8px}}
@media(max-width:420px){th,td{padding-right:5px}th{font-size:11px}.plot .v{font-size:10px}}
@media print{:root{color-scheme:light;--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ccc;--track:#eee;
--now:#1f6fb5;--before:#c9d2d9;--good:#177245;--bad:#b3261e;--warn:#9a5b00;--warnpage:#fff}
main{max-width:none;padding:0}.card{break-inside:avoid}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
