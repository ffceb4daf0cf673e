import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** Two paths: an answer at once, and one that takes 20 s. */
public final class Answer extends HttpServlet {
    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response)
            throws ServletException, IOException {
        if (request.getRequestURI().equals("/slow")) {
            try {
                Thread.sleep(20_000);
            } catch (InterruptedException interrupted) {
                throw new ServletException(interrupted);
            }
        }
        response.setContentType("text/plain");
        response.getWriter().print("ok\n");
    }
}
