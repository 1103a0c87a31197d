"""Texts that people write, in many scripts, and some that nobody should have written."""

# ruff: noqa: RUF001
# Letters of other scripts are what this is about.

from __future__ import annotations

SENTENCES = (
    "The train to Bristol leaves at half past seven.",
    "She said that nobody had told her anything.",
    "Ok.",
    "Would you mind closing the window? It is getting cold in here, and the rain comes in.",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "Der Zug nach Köln hält heute nicht in Düren.",
    "Die Straße ist wegen Überschwemmung gesperrt; bitte benutzen Sie die Umleitung über Großhöchstetten.",
    "Où est passée ma clé ? Je l'avais laissée près de l'évier.",
    "El niño comió piña y ñame en la montaña.",
    "Zażółć gęślą jaźń.",
    "İstanbul'da hava bugün çok güzel, ısı yirmi derece.",
    "Þetta er ekki rétt, sagði hún.",
    "Сегодня в Москве идёт снег, а в Сочи светит солнце.",
    "Їжак з'їв яблуко.",
    "Η θάλασσα είναι ήρεμη σήμερα το πρωί.",
    "أين تقع محطة القطار؟ أريد أن أذهب إلى القاهرة.",
    "שלום, מה שלומך היום?",
    "آیا این کتاب را خوانده‌ای؟",
    "नमस्ते, आप कैसे हैं? आज मौसम बहुत अच्छा है।",
    "আমি বাংলায় গান গাই।",
    "தமிழ் ஒரு பழமையான மொழி.",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "ປະເທດລາວຢູ່ໃນອາຊີຕະເວັນອອກສຽງໃຕ້",
    "今天天气很好,我们去公园散步吧。",
    "東京は日本の首都であり、世界でも有数の大都市です。",
    "ありがとう",
    "საქართველო მშვენიერი ქვეყანაა.",
    "Հայաստանը գեղեցիկ երկիր է։",
    "ሰላም ለዓለም",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 — three, for certain",
    "e\u0301 and \u00e9 are equal to people and not to bytes",
    "",
    " ",
    "\n\n\t",
    "a",
    "x" * 400,
    "word " * 200,
    "12 34 56 3.14159 -7e-10",
    "zzxqv blorptang frumious",
)

KOREAN = (
    "오늘은날씨가좋습니다",
    "아버지가방에들어가신다",
    "나는어제친구와함께영화를보고늦게집에돌아왔다",
    "서울",
    "가",
    "한국어는띄어쓰기가어렵다고들하는데정말그런지는잘모르겠습니다",
    "내일아침일곱시에만나요",
    "이 문장은 이미 띄어 썼습니다.",
    "비가오면우산을쓰고눈이오면장갑을낀다",
    "저는학교에서한국어와영어를가르치는선생님입니다그리고주말에는산에갑니다",
    "배고프다밥먹으러가자",
    "2024년11월29일금요일",
    "iPhone을샀는데화면이깨졌어요ㅠㅠ",
    "동해물과백두산이마르고닳도록하느님이보우하사우리나라만세",
    "뭐라고했어",
    "컴퓨터를껐다가다시켜보세요그래도안되면전화주세요",
    "뷁쉛뛟",
)

THAI = (
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "วันนี้อากาศดีมากเราไปเดินเล่นที่สวนกันเถอะ",
    "ตากลมที่ริมแม่น้ำ",
    "รถไฟไปเชียงใหม่ออกเวลา 19.35 น.",
    "ก",
    "ฉันชอบกิน pizza กับน้ำส้ม",
)

PROGRAMS = (
    "def f(x):\n    return x + 1\n",
    '#include <stdio.h>\nint main(void) { printf("hello\\n"); return 0; }\n',
    'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("hello")\n}\n',
    "SELECT name, count(*) FROM people WHERE age > 30 GROUP BY name ORDER BY 2 DESC;",
    'fn main() {\n    let x: Vec<u8> = (0..10).collect();\n    println!("{:?}", x);\n}\n',
    "<html><head><title>hello</title></head><body><p>world</p></body></html>",
    "body { margin: 0; font-family: sans-serif; }\n.a > .b { color: #fff }\n",
    "const f = async (x) => { await fetch(`/a/${x}`); };\nexport default f;\n",
    "public class Hello {\n    public static void main(String[] a) { System.out.println(1); }\n}\n",
    '#!/bin/sh\nset -e\nfor f in *.txt; do echo "$f"; done\n',
    "main :: IO ()\nmain = mapM_ print [x * x | x <- [1 .. 10], odd x]\n",
    "module Foo\n  def bar(a, b = 2)\n    a.map { |x| x + b }\n  end\nend\n",
    "<?php echo strtoupper($_GET['name'] ?? 'nobody'); ?>",
    "(defn f [x] (reduce + (map inc (range x))))",
    '%% comment\n-module(hello).\n-export([start/0]).\nstart() -> io:format("hi~n").\n',
    'x <- c(1, 2, 3)\nplot(density(x), main = "d")\n',
    '{"a": [1, 2, {"b": null}]}',
    "a: 1\nb:\n  - c\n  - d: e\n",
    "\\documentclass{article}\\begin{document}$e^{i\\pi}=-1$\\end{document}",
    "local t = {}\nfor i = 1, 10 do t[#t + 1] = i end\nprint(#t)\n",
)

WORDS = (
    *("ramesh", "lakshmi", "mohammed", "o'brien", "li", "anne-marie", "singh", "venkataramanan", "x", "sita"),
    *("hello", "natural", "languge", "similarity", "qwrtzp", "aaaaaaaaaaaaaaaaaaaa", "zoe", "karthikeyan"),
    *("google.com", "xjpqwzkvn.biz", "wikipedia.org", "kq3v9z7x1p0d.info", "bbc.co.uk", "a.de"),
)
