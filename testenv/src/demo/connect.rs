//! How people connect their own clients.

use super::Stage;
use super::screen::Screen;

pub(super) fn show(stage: &Stage, screen: &mut Screen) {
    let url = stage.ferry.url();
    let token = stage.token_file("alice");
    screen.title("Connect");
    screen.detail(&format!(
        "alice's token is in {token}, beside those of bob and carol: readable by you alone, valid for an hour.\n\n\
         Claude Code:\n  \
         claude mcp add --transport http kubeferry {url} --header \"Authorization: Bearer $(cat {token})\"\n\n\
         VS Code, .vscode/mcp.json (it asks for the token once):\n  \
         {{\n    \
         \"inputs\": [{{\"type\": \"promptString\", \"id\": \"token\", \"description\": \"kubeferry token\", \"password\": true}}],\n    \
         \"servers\": {{\"kubeferry\": {{\"type\": \"http\", \"url\": \"{url}\",\n      \
         \"headers\": {{\"Authorization\": \"Bearer ${{input:token}}\"}}}}}}\n  \
         }}\n\n\
         curl:\n  \
         curl -s {url} -H \"Authorization: Bearer $(cat {token})\" \\\n    \
         -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\\n    \
         -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"clusters_list\",\"arguments\":{{}}}}}}'"
    ));
}
