"""Small files as banks, billing systems and spreadsheets write them, with what they are."""

HEAD = ["nome", "telefone"]


def reading(encoding, delimiter, header=True):
    return (encoding, delimiter, header)


def of(content, how, columns, rows):
    return content, {"reading": how, "columns": columns, "rows": rows}


FILES = {
    "a bank's Latin-1 with semicolons": of(
        "CPF;NOME;DDD;FONE;VALOR\r\n52998224725;JOSÉ CONCEIÇÃO;11;987654321;1.234,56\r\n"
        "11144477735;ANDRÉ MÜLLER;21;33334444;0,99\r\n".encode("cp1252"),
        reading("cp1252", ";"),
        ["CPF", "NOME", "DDD", "FONE", "VALOR"],
        [["52998224725", "JOSÉ CONCEIÇÃO", "11", "987654321", "1.234,56"]],
    ),
    "a mainframe's CP 850": of(
        "NOME;CIDADE\nJOSÉ CONCEIÇÃO;SÃO JOÃO\nÂNGELA MAÇÃ;MACAÉ\nJoão Gonçalves;Itaúna\n".encode("cp850"),
        reading("cp850", ";"),
        ["NOME", "CIDADE"],
        [["JOSÉ CONCEIÇÃO", "SÃO JOÃO"]],
    ),
    "a spreadsheet's UTF-8 with a byte order mark": of(
        "\ufeffnome;telefone\nInês;(11) 98765-4321\n".encode(),
        reading("utf-8-sig", ";"),
        HEAD,
        [["Inês", "(11) 98765-4321"]],
    ),
    "a spreadsheet's Unicode text": of(
        "nome\ttelefone\r\nInês\t(11) 98765-4321\r\n".encode("utf-16"),
        reading("utf-16", "\t"),
        HEAD,
        [["Inês", "(11) 98765-4321"]],
    ),
    "a web system's commas with quotes and line breaks": of(
        'nome,telefone,obs\n"Silva, Inês","(11) 98765-4321","disse ""não""\nligar depois"\n',
        reading("utf-8-sig", ","),
        [*HEAD, "obs"],
        [["Silva, Inês", "(11) 98765-4321", 'disse "não"\nligar depois']],
    ),
    "decimal commas and addresses with commas between semicolons": of(
        "nome;endereço;saldo\nAna;Rua A, 12, Centro;12,50\nBeto;Rua B, 7, Sé;1,00\n",
        reading("utf-8-sig", ";"),
        ["nome", "endereço", "saldo"],
        [["Ana", "Rua A, 12, Centro", "12,50"]],
    ),
    "one column of numbers without a header": of(
        "11987654321\n21987654321\n(31) 3333-4444\n",
        reading("utf-8-sig", ";", False),
        ["Column 1"],
        [["11987654321"], ["21987654321"], ["(31) 3333-4444"]],
    ),
    "one column of names with a comma": of(
        "nome\nSilva, Ana\nSouza, Beto\n",
        reading("utf-8-sig", ";"),
        ["nome"],
        [["Silva, Ana"], ["Souza, Beto"]],
    ),
    "no header and an e-mail": of(
        "Ana,ana@example.com,11987654321\nBeto,beto@example.com,21987654321\n",
        reading("utf-8-sig", ",", False),
        ["Column 1", "Column 2", "Column 3"],
        [["Ana", "ana@example.com", "11987654321"]],
    ),
    "the line that tells Excel its delimiter": of(
        "sep=|\nnome|telefone\nAna|11987654321\n",
        reading("utf-8-sig", "|"),
        HEAD,
        [["Ana", "11987654321"]],
    ),
    "blank rows above, between and below": of(
        "\n;\nnome;telefone\n\nAna;11987654321\n;\n\n",
        reading("utf-8-sig", ";"),
        HEAD,
        [["Ana", "11987654321"]],
    ),
    "pipes of a dialler": of(
        "id|nome|fone1|fone2\n1|Ana|11987654321|\n2|Beto||2133334444\n",
        reading("utf-8-sig", "|"),
        ["id", "nome", "fone1", "fone2"],
        [["1", "Ana", "11987654321", ""], ["2", "Beto", "", "2133334444"]],
    ),
}
