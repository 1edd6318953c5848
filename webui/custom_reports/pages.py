"""Custom reports (UAU-63): the list of one's own and those shared. Beside it: builder (making one), look."""

from aiohttp import web

from crm import custom_reports
from webui.auth import require
from webui.custom_reports import builder, look, words
from webui.page import DB, render

own = web.RouteTableDef()


@own.get("/reports/custom")
@require("see_tabulations")
async def all_reports(request: web.Request) -> web.Response:
    user = request["user"]
    return render(
        request,
        "custom_reports/list.html",
        reports=[
            (each, custom_reports.may_change(user, each))
            for each in await custom_reports.all(request.app[DB], user)
        ],
        subjects=words.SUBJECTS,
        removed="removed" in request.query,
    )


routes = [*own, *builder.routes, *look.routes]
