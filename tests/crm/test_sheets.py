"""Files of banks' and spreadsheets' habits, recognised and read; what is not what it says, refused."""

import datetime
import struct
import tracemalloc
import zipfile

import pytest
import xlsxwriter

from crm import sheets
from crm.form import Field, Kind
from crm.import_rows import (
    Converter,
    Plan,
    Rejected,
    date_of,
    document_of,
    guess,
    number_of,
    phone_of,
    valid_cnpj,
    valid_cpf,
    wrong_plan,
)
from crm.refused import Refused
from crm.sheets import Reading
from tests.files import FILES


@pytest.fixture
def file(tmp_path):
    def made(content, name="file"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return made


def workbook(path, rows, sheets=("Plan1",), **options):
    book = xlsxwriter.Workbook(str(path), {"strings_to_numbers": False, **options})
    date = book.add_format({"num_format": "dd/mm/yyyy"})
    for name in sheets:
        sheet = book.add_worksheet(name)
        for line, row in enumerate(rows):
            for place, cell in enumerate(row):
                match cell:
                    case datetime.date():
                        sheet.write_datetime(line, place, cell, date)
                    case ("formula", text, value):
                        sheet.write_formula(line, place, text, None, value)
                    case str():
                        sheet.write_string(line, place, cell)
                    case None:
                        pass
                    case _:
                        sheet.write(line, place, cell)
    book.close()
    return path


def all_rows(path, reading=None):
    return [cells for _, cells in sheets.rows(path, sheets.recognise(path, reading).reading)]


# -- text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_habit_is_recognised(name, file):
    content, expected = FILES[name]
    preview = sheets.recognise(file(content))
    reading = preview.reading
    assert (reading.encoding, reading.delimiter, reading.header) == expected["reading"]
    assert [column.name for column in preview.columns] == expected["columns"]
    assert all_rows(file(content))[: len(expected["rows"])] == expected["rows"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_mixture_of_encoding_delimiter_and_line_end_reads_the_same(file, encoding, delimiter, end):
    lines = [
        ["nome", "cidade", "telefone"],
        ["João Conceição", "São Paulo", "(11) 98765-4321"],
        ["Inês", "", "1"],
    ]
    text = end.join(delimiter.join(line) for line in lines) + end
    assert all_rows(file(text.encode(encoding))) == lines[1:]


def test_lines_are_numbered_as_an_editor_numbers_them(file):
    path = file('nome;obs\n\n"Ana";"duas\nlinhas"\n\n;;\nBeto;x\n')
    reading = sheets.recognise(path).reading
    assert list(sheets.rows(path, reading)) == [(3, ["Ana", "duas\nlinhas"]), (7, ["Beto", "x"])]


@pytest.mark.parametrize("columns", [1, 2, 200, 1000])
def test_any_sensible_number_of_columns(file, columns):
    head = ";".join(f"nome{n}" for n in range(columns))
    body = "\n".join(";".join(f"v{n}.{line}" for n in range(columns)) for line in range(30))
    preview = sheets.recognise(file(f"{head}\n{body}\n"))
    assert len(preview.columns) == columns and preview.rows_all == 30


def test_headings_that_repeat_or_miss_get_names_of_their_own(file):
    preview = sheets.recognise(file("fone;fone;;nome\n11987654321;;;Ana\n"))
    assert [column.name for column in preview.columns] == ["fone", "fone (2)", "Column 3", "nome"]


def test_a_letter_of_another_encoding_far_below_is_left_to_its_row(file):
    text = "nome;fone\nInês;1\n".encode() + b"Ana;2\n" * 60_000 + "João;3\n".encode("cp1252")
    preview = sheets.recognise(file(text))
    assert preview.reading.encoding == "utf-8-sig" and preview.rows_all >= 60_000


def test_latin_letters_after_pages_of_plain_ones_are_still_latin(file):
    text = b"nome;fone\n" + b"Ana;2\n" * 100_000 + "João da Conceição;3\n".encode("cp1252") * 3
    path = file(text)
    assert sheets.recognise(path).reading.encoding == "cp1252"
    assert all_rows(path)[-1] == ["João da Conceição", "3"]


def test_a_chosen_encoding_that_does_not_fit_is_refused_with_its_line(file):
    path = file("nome\nAna\nJoão\n".encode("cp1252"))
    with pytest.raises(Refused, match="not utf-8-sig: line 3"):
        sheets.recognise(path, Reading(encoding="utf-8-sig"))


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "There is nothing in this file."),
        (b"\n \n\n", "There is nothing in this file."),
        (b"%PDF-1.7\n", "PDF file"),
        (b"\x89PNG\r\n\x1a\n", "PNG file"),
        (b"MZ\x90\x00", "Windows program"),
        (b"\x1f\x8b\x08\x00", "gzip file"),
        (bytes(range(256)) * 50, "neither text nor a spreadsheet"),
        (b"nome;fone\n" + b"Ana;1\n" * 50_000 + b"\x00\x00\x00", "neither text nor a spreadsheet"),
        (b"\x01\x02\x03\x04" * 5000, "neither text nor a spreadsheet"),
        ("nome\nAna\n".encode("utf-32"), "UTF-32"),
        (b"PK\x03\x04 and then nothing", "damaged"),
        (sheets.OLE + b"\x00" * 2000, "cannot be read"),
        (b"a;b\n" + b"x" * (sheets.LINE_LENGTH_MAX + 5), "more than 1000000 characters"),
        (";".join("a" * 10_000) + "\n", "10000 columns; 1000 can be read"),
        ('nome;obs\nAna;"nunca fechada\n' + "Beto;1\n" * 5000, "From line 2 on a cell does not end"),
        ('nome;obs\nAna;"' + "x" * 200_000 + '"\n', "From line 2 on a cell does not end"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_words(file, content, words):
    path = file(content)
    with pytest.raises(Refused, match=words):
        all_rows(path)


def test_a_gigabyte_on_one_line_is_refused_after_reading_little_of_it(tmp_path):
    path = tmp_path / "endless.csv"
    with path.open("wb") as sparse:
        sparse.write(b"nome;" * 300_000)
        sparse.truncate(1 << 30)
    tracemalloc.start()
    with pytest.raises(Refused):
        sheets.recognise(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 50 << 20


# -- workbooks -----------------------------------------------------------------------------------------------


def test_a_workbook_with_numbers_as_text_phones_as_floats_and_dates(tmp_path):
    rows = [
        ["Nome", "CPF", "Fone", "Nascimento", "Saldo", "Ativo"],
        ["Ana", "529.982.247-25", 11987654321.0, datetime.date(1990, 2, 1), 1234.5, True],
        ["Beto", 5299822472.0, "011 98765-4322", None, -0.1, False],
    ]
    preview = sheets.recognise(workbook(tmp_path / "a.xlsx", rows))
    assert preview.reading.kind == "sheet" and preview.reading.header
    assert preview.rows == (
        ("Ana", "529.982.247-25", "11987654321", "1990-02-01", "1234,5", "1"),
        ("Beto", "5299822472", "011 98765-4322", "", "-0,1", "0"),
    )


def test_a_workbooks_formulas_are_read_as_their_values_and_errors_as_nothing(tmp_path):
    rows = [["nome", "x"], [("formula", "=HYPERLINK()", "Ana"), ("formula", "=1/0", "#DIV/0!")]]
    assert all_rows(workbook(tmp_path / "a.xlsx", rows)) == [["Ana", ""]]


def test_another_sheet_and_blank_rows_before_the_table(tmp_path):
    path = workbook(tmp_path / "a.xlsx", [[], [], ["nome"], [], ["Ana"]], sheets=("Capa", "Base"))
    preview = sheets.recognise(path, Reading(sheet="Base"))
    assert preview.sheets == ("Capa", "Base") and preview.reading.sheet == "Base"
    assert list(sheets.rows(path, preview.reading)) == [(5, ["Ana"])]
    with pytest.raises(Refused, match="no sheet Other"):
        sheets.recognise(path, Reading(sheet="Other"))


def zipped(path, parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_a_zip_bomb_is_not_opened(tmp_path):
    path = zipped(
        tmp_path / "a.xlsx", {"xl/workbook.xml": b"<x/>", "xl/worksheets/sheet1.xml": b" " * (40 << 20)}
    )
    assert path.stat().st_size < 100_000
    with pytest.raises(Refused, match="unpacks to far more"):
        sheets.recognise(path)


def test_a_zip_bomb_that_lies_about_its_size_is_not_opened(tmp_path):
    path = zipped(
        tmp_path / "a.xlsx", {"xl/workbook.xml": b"<x/>", "xl/worksheets/sheet1.xml": b" " * (40 << 20)}
    )
    content = bytearray(path.read_bytes())
    real = struct.pack("<I", 40 << 20)
    while (at := content.find(real)) >= 0:
        content[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(content)
    assert sum(info.file_size for info in zipfile.ZipFile(path).infolist()) < 2000
    with pytest.raises(Refused, match="unpacks to far more"):
        sheets.recognise(path)


def test_parts_that_unpack_one_into_the_other_are_counted_each_time(tmp_path):
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(sheets.ENTRIES_MAX + 1):
            archive.writestr(f"xl/{number}.xml", b"")
        archive.writestr("xl/workbook.xml", b"<x/>")
    with pytest.raises(Refused, match="parts; no spreadsheet writes that"):
        sheets.recognise(path)


@pytest.mark.parametrize("cut", [30, 200, 1000, 3000])
def test_a_workbook_cut_short_is_refused(tmp_path, cut):
    path = workbook(tmp_path / "a.xlsx", [["nome"], ["Ana"]])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(Refused, match=r"damaged|cannot be read"):
        sheets.recognise(path)


def test_an_archive_that_is_no_workbook_says_so(tmp_path):
    with pytest.raises(Refused, match="ZIP archive"):
        sheets.recognise(zipped(tmp_path / "a.zip", {"people.csv": b"nome\n"}))


# -- rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell, numbers",
    [
        ("(11) 98765-4321", ["+5511987654321"]),
        ("11987654321.0", ["+5511987654321"]),
        ("1,1987654321E+10", ["+5511987654321"]),
        ("8765-4321", ["+5521987654321"]),  # a mobile of before 2016, local
        ("(11) 8765-4321", ["+5511987654321"]),
        ("3333-4444", ["+552133334444"]),
        ("+55 11 3333 4444", ["+551133334444"]),
        ("(11) 98765-4321/3333-4444", ["+5511987654321", "+551133334444"]),
        ("11987654321; 21987654321", ["+5511987654321", "+5521987654321"]),
        ("98765-4321 ou 3333-4444", ["+5521987654321", "+552133334444"]),
        ("0800 701 1234", ["+558007011234"]),
        ("+1 212 555 0100", ["+12125550100"]),
    ],
)  # fmt: skip
def test_telephones_as_people_write_them(cell, numbers):
    work = Converter(Plan(("name", "phone"), area_code="21"))
    assert list(work.row(["Ana", cell]).phones) == numbers and work.notes == []


@pytest.mark.parametrize(
    "cell, reason",
    [("1,1988E+10", "digits_lost"), ("190", "not_a_phone"), ("depois", "not_a_phone"),
     ("(20) 98765-4321", "not_a_phone"), ("9" * 30, "not_a_phone")],
)  # fmt: skip
def test_what_is_no_telephone_is_left_out_or_rejects_its_row(cell, reason):
    work = Converter(Plan(("name", "phone", "phone")))
    assert work.row(["Ana", cell, "(11) 3333-4444"]).phones == ("+551133334444",)
    assert [(note.reason, note.column, note.value) for note in work.notes] == [(reason, 1, cell)]
    with pytest.raises(Rejected, match="no_phone"):
        work.row(["Ana", cell, ""])


def test_area_codes_of_their_own_columns_belong_to_the_telephones_after_them():
    work = Converter(Plan(("name", "area", "phone", "area", "phone"), area_code="11"))
    assert work.row(["Ana", "21", "3333-4444", "(047)", "3333-5555"]).phones == (
        "+552133334444",
        "+554733335555",
    )


@pytest.mark.parametrize(
    "text, kept",
    [
        ("529.982.247-25", "52998224725"),
        ("52998224725", "52998224725"),
        ("52998224725,0", "52998224725"),
        ("1234567890.0", "01234567890"),
        ("11.222.333/0001-81", "11222333000181"),
        ("12.ABC.345/01DE-35", "12ABC34501DE35"),
        ("12.abc.345/01de-35", "12ABC34501DE35"),
        ("191", "191"),
        ("MG-12.345.678", "MG-12.345.678"),
        ("000.000.000-00", ""),
    ],
)
def test_documents_are_kept_in_one_form(text, kept):
    assert document_of(text) == kept


@pytest.mark.parametrize(
    "text", ["529.982.247-24", "111.111.111-11", "11.222.333/0001-80", "12.ABC.345/01DE-36"]
)
def test_wrong_check_digits_reject_the_row_or_leave_the_document_out(text):
    with pytest.raises(Rejected, match="not_a_document"):
        Converter(Plan(("document", "phone"))).row([text, "1133334444"])
    lenient = Converter(Plan(("document", "phone"), wrong_document="leave_out"))
    assert lenient.row([text, "1133334444"]).document == "" and lenient.notes[0].value == text


def test_check_digits_agree_with_another_implementation():
    import random

    from stdnum.br import cnpj, cpf

    chance = random.Random(5)
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for _ in range(2000):
        digits = "".join(chance.choices("0123456789", k=11))
        assert valid_cpf(digits) == cpf.is_valid(digits), digits
        base = "".join(chance.choices(letters, k=12))
        right = base + cnpj.calc_check_digits(base)
        assert valid_cnpj(right)
        other = base + f"{chance.randrange(100):02d}"
        assert valid_cnpj(other) == cnpj.is_valid(other), other


@pytest.mark.parametrize(
    "text, kept",
    [("1.234,56", "1234.56"), ("R$ 12,50", "12.5"), ("1234.56", "1234.56"), ("1.234", "1234"),
     ("-0,10", "-0.1"), ("007", "7"), ("10%", "10"), ("12,", "12,"), ("abc", "abc"),
     ("1.000.000,00", "1000000")],
)  # fmt: skip
def test_numbers_with_decimal_commas(text, kept):
    assert number_of(text) == kept


@pytest.mark.parametrize(
    "text, kept",
    [("21/11/2026", "2026-11-21"), ("1.2.90", "1990-02-01"), ("2026-11-21 00:00:00", "2026-11-21"),
     ("31/02/2026", "31/02/2026"), ("21/11/26 10:30", "2026-11-21"), ("ontem", "ontem")],
)  # fmt: skip
def test_dates_as_brazilians_write_them(text, kept):
    assert date_of(text) == kept


def test_custom_answers_are_kept_in_one_form_and_wrong_ones_left_out():
    fields = (
        Field("limit", "Limit", Kind.NUMBER),
        Field("since", "Since", Kind.DATE),
        Field("vip", "VIP", Kind.CHECKBOX),
        Field("plan", "Plan", Kind.CHOICE, options=("Básico", "Ouro")),
    )
    plan = Plan(
        ("name", "custom:limit", "custom:since", "custom:vip", "custom:plan"), fields, phone_required=False
    )
    work = Converter(plan)
    assert work.row(["Ana", "1.000,50", "01/02/2020", "Sim", "basico"]).custom == {
        "limit": "1000.5", "since": "2020-02-01", "vip": "1", "plan": "Básico",
    }  # fmt: skip
    assert work.row(["Ana", "muito", "31/31/2020", "não", "Prata"]).custom == {}
    assert [note.reason for note in work.notes] == ["not_a_number", "not_a_date", "not_an_option"]


def test_a_name_that_is_missing_is_made_of_what_there_is():
    work = Converter(Plan(("phone",)))
    customer = work.row(["11 98765-4321"])
    assert (customer.name, customer.named) == ("(11) 98765-4321", False)


def test_what_looks_like_a_company_is_one():
    work = Converter(Plan(("name", "document", "kind"), phone_required=False))
    assert work.row(["ACME", "11.222.333/0001-81", ""]).kind == "company"
    assert work.row(["ACME", "", "Pessoa Jurídica"]).kind == "company"
    assert work.row(["Ana", "529.982.247-25", "PF"]).kind == "person"


def test_rows_too_short_are_filled_and_rows_too_long_rejected():
    work = Converter(Plan(("name", "phone", "email")))
    assert work.row(["Ana", "1133334444"]).email == ""
    assert work.row(["Ana", "1133334444", "", " ", ""]).name == "Ana"
    with pytest.raises(Rejected, match="too_many_cells"):
        work.row(["Ana", "1133334444", "a@b.co", "rest of an address"])


def test_columns_are_guessed_by_their_headings_and_else_by_their_cells():
    names = [
        "NM_CLIENTE",
        "CPF/CNPJ",
        "DDD",
        "Tel. Residencial",
        "Celular 2",
        "E-mail",
        "Cód. Cliente",
        "Nr. pedido",
    ]
    names += ["Endereço", "Nº", "CEP", "UF", "Observação", "Saldo", "x"]
    samples = [()] * 14 + [("11987654321", "(21) 3333-4444")]
    fields = [Field("balance", "Saldo", Kind.NUMBER)]
    assert guess(names, samples, fields) == [
        "name", "document", "area", "phone", "phone", "email", "external_code", "", "address.street",
        "address.number", "address.postal_code", "address.state", "notes", "custom:balance", "phone",
    ]  # fmt: skip
    bare = guess(["", "", ""], [("529.982.247-25",), ("ana@example.com",), ("Ana",)], [])
    assert bare == ["document", "email", ""]


@pytest.mark.parametrize(
    "names, targets",
    [
        (
            ["Razão Social", "CNPJ", "Telefone", "Contato", "Fone contato", "E-mail do contato"],
            ["company", "document", "phone", "main.name", "main.phone", "main.email"],
        ),
        (
            ["CNPJ", "Empresa", "Setor do contato", "Nome do contato", "Celular do responsável"],
            ["document", "company", "other.type", "other.name", "other.phone"],
        ),
        (["CNPJ", "Nome", "Setor"], ["document", "name", ""]),
        (["Contato", "Telefone do contato", "Setor"], ["name", "phone", ""]),
    ],
)
def test_the_contacts_of_companies_are_guessed_where_companies_are_meant(names, targets):
    assert guess(names, [()] * len(names), []) == targets


def people_of(cells, targets=("kind", "main.name", "main.phone", "other.type", "other.name", "other.email")):
    work = Converter(Plan(tuple(targets), phone_required=False, other_type="Compras"))
    return work.row(cells), [(note.reason, note.value) for note in work.notes]


def test_a_companys_people_have_the_type_said_or_the_one_chosen():
    ana = ("main", "Ana", ("+551133334444",), "")
    beto = ("Financeiro", "Beto", (), "b@x.co")
    customer, notes = people_of(["", "Ana", "1133334444", "Financeiro", "Beto", "b@x.co"])
    assert (customer.kind, customer.people, notes) == ("company", (ana, beto), [])
    customer, _ = people_of(["PJ", "", "", "", "Beto", "b@x.co"])
    assert customer.people == (("Compras", "Beto", (), "b@x.co"),)
    customer, _ = people_of(["PJ", "", "", "Principal", "Beto", ""])
    assert customer.people == (("main", "Beto", (), ""),)
    customer, notes = people_of(["PJ", "", "12", "Vendas", "", "b@x.co"])
    assert customer.people == (("Vendas", "Vendas", (), "b@x.co"),) and notes == [("not_a_phone", "12")]
    customer, notes = people_of(["PF", "Ana", "Zé"], ("kind", "main.name", "name"))
    assert (customer.kind, customer.people, notes) == ("person", (), [("not_a_company", "Ana")])


def test_a_contacts_number_is_a_number_to_call():
    work = Converter(Plan(("main.name", "main.phone")))
    assert work.row(["Ana", "1133334444"]).people[0].phones == ("+551133334444",)
    with pytest.raises(Rejected) as no:
        work.row(["Ana", "12"])
    assert (no.value.reason, no.value.column, no.value.value) == ("no_phone", 1, "12")
    assert wrong_plan(["main.phone", "company"], [], True) == ""
    assert wrong_plan(["main.name", "company"], [], True) == "phone_not_mapped"


@pytest.mark.parametrize(
    "text", ["", "x", "+", "0", "E", "1E9", "١١٩٨٧٦٥٤٣٢١", "²²²²²²²²²", "1" * 500, "\x00"]
)
def test_strange_cells_break_nothing(text):
    assert phone_of(text, "11") is None or phone_of(text, "11").startswith("+")
    fields = tuple(Field(str(kind), str(kind), kind, options=("a",)) for kind in Kind)
    targets = ("name", "document", "phone", "email", "kind", "address.postal_code", "address.state")
    plan = Plan((*targets, *(f"custom:{field.key}" for field in fields)), fields, phone_required=False)
    try:
        Converter(plan).row([text] * len(plan.targets))
    except Rejected:
        pass
